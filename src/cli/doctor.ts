import { constants, release } from 'node:os';
import path from 'node:path';

import { hostLibc } from '../host-libc.js';
import { addonFile, loadAddon, packageDirectory } from '../load-addon.js';
import { defineCommand, onlyOperand } from './command.js';
import { diagnose, renderDiagnosis } from './doctor-report.js';
import type { Diagnosis, Verdict } from './doctor-report.js';
import { exitCodes } from './exit-codes.js';
import { interruptible, Interruption } from './interruption.js';
import { print } from './report.js';
import { printJson, printPage } from './terminal.js';

const exitStatus: Readonly<Record<Verdict, number>> = { sound: 0, limited: 1, unusable: 2 };

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Try whether locks and atomic replace work in a directory',
  synopsis: '[options] [DIR]',
  about: [
    'Tries in DIR (the working directory by default) what holdfast relies on, and says what it found: whether a second process is kept out while another holds a lock; whether the lock of a process that is killed is free at once; whether a file that somebody has open can be renamed over; whether files and directories can be flushed to the disk; whether there are files without a name and extended attributes. It also names the file system, the addon that was loaded, the Node and the C library.',
    'It works in a directory of its own in DIR, which it removes. What two machines do to each other on a network file system it cannot try from one.',
  ],
  options: {
    json: { type: 'boolean', text: 'Print everything that was found as JSON. Default: in words.' },
  },
  exitStatus: [
    ['0', 'sound: everything works that the documentation promises'],
    ['1', 'limited: locks work, with the limits that are named'],
    ['2', 'unusable: no lock there can be relied on'],
    ['64', 'the command line is wrong'],
    ['71', 'DIR cannot be looked at'],
    ['128+N', 'ended by signal N, after everything was removed'],
  ],
  examples: [
    ['holdfast doctor /srv/shared', 'Before anything is kept there:'],
    ['holdfast doctor --json > diagnosis.json', 'For a bug report:'],
  ],

  async run({ values, operands, rest }) {
    const named = [...operands, ...(rest ?? [])];
    const directory = path.resolve(named.length === 0 ? '.' : onlyOperand(named, 'DIR'));
    try {
      const diagnosis = await interruptible((signal) => examineFrom(directory, signal));
      if (values.json) printJson(diagnosis, 2);
      else printPage(renderDiagnosis(diagnosis, process.stdout));
      return exitStatus[diagnosis.verdict];
    } catch (error) {
      if (!(error instanceof Interruption)) throw error;
      print('holdfast doctor', `ended by ${error.signal}`);
      return exitCodes.signalBase + constants.signals[error.signal];
    }
  },
});

async function examineFrom(directory: string, signal: AbortSignal): Promise<Diagnosis> {
  const { node, napi, electron } = process.versions;
  const host = {
    node,
    nodeApi: napi ?? 'unknown',
    electron: electron ?? null,
    platform: process.platform,
    arch: process.arch,
    libc: hostLibc(),
    release: release(),
  };
  const addon = findAddon();
  if (addon.error !== null) {
    return diagnose({ directory, host, addon, fileSystem: null, findings: [] });
  }
  // Not before: it needs the addon.
  const { examine } = await import('./doctor-examination.js');
  return diagnose({ directory, host, addon, ...(await examine(directory, signal)) });
}

function findAddon(): Diagnosis['addon'] {
  try {
    const file = addonFile();
    loadAddon();
    const compiled = path.relative(packageDirectory, file).startsWith('build');
    return { file, origin: compiled ? 'compiled' : 'prebuilt', error: null };
  } catch (error) {
    return { file: null, origin: null, error: (error as Error).message };
  }
}
