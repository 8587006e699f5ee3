import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';

import { defineCommand, integerValue, onlyOperand } from './command.js';
import type { Options } from './command.js';
import { counterField, DocumentError } from './demo-file.js';
import { runDemo } from './demo-run.js';
import { exitCodes } from './exit-codes.js';
import { interruptible, Interruption } from './interruption.js';
import { print } from './report.js';

const options = {
  'without-lock': {
    type: 'boolean',
    text: 'Do the same without taking the lock, to see updates being lost. Default: with the lock.',
  },
  processes: {
    type: 'string',
    value: 'N',
    text: 'How many processes write at the same time, 2 to 64. Default: 8.',
  },
  rounds: {
    type: 'string',
    value: 'N',
    text: 'How many times each of them reads, adds one and writes, 1 to 100000. Default: 200.',
  },
} as const satisfies Options;

export const demo = defineCommand({
  name: 'demo',
  summary: 'See the lock work: many processes, one file, one of them killed inside',
  synopsis: '[options] [FILE]',
  about: [
    'Starts real processes that all change the same JSON file, again and again: each takes the lock, reads the file, thinks for a millisecond, adds one to a counter, and replaces the file in one step. One of them is killed with SIGKILL while it holds the lock and has written half of the new contents; another gets the lock, and a new process does the rest of its work. Meanwhile a reader without a lock reads the file and parses it.',
    `FILE is a JSON file that holds an object: the demo adds the field "${counterField}" to it (or goes on counting there) and writes the other fields back as they are, indented by two spaces. Without FILE it makes one in a temporary directory, and removes it in the end.`,
  ],
  options,
  exitStatus: [
    ['0', 'nothing was lost and nothing was torn'],
    ['1', 'an update was lost or a read was torn: with --without-lock that is the point'],
    ['64', 'the command line is wrong'],
    ['65', 'FILE does not hold a JSON object'],
    ['71', 'the system said no, for example to a file that cannot be written'],
    [
      '77',
      'refused: the file has other names, or what lies at the place of its lock is not safe to use',
    ],
    ['128+N', 'ended by signal N, after the processes and the temporary directory were removed'],
  ],
  examples: [
    ['holdfast demo', 'With the lock, nothing is lost:'],
    ['holdfast demo --without-lock', 'The same without:'],
    ['holdfast demo settings.json --processes 4 --rounds 50', 'On a file of yours:'],
  ],

  async run({ values, operands, rest }) {
    const named = [...operands, ...(rest ?? [])];
    const given = named.length === 0 ? null : onlyOperand(named, 'FILE');
    const plan = {
      processes: integerValue('--processes', values.processes ?? '8', 2, 64),
      rounds: integerValue('--rounds', values.rounds ?? '200', 1, 100_000),
      locked: !values['without-lock'],
    };
    try {
      return await interruptible((signal) =>
        given === null
          ? withTemporaryFile((file) => runDemo({ ...plan, file }, signal))
          : resolveFile(given).then((file) => runDemo({ ...plan, file }, signal)),
      );
    } catch (error) {
      if (error instanceof Interruption) {
        print('holdfast demo', `ended by ${error.signal}`);
        return exitCodes.signalBase + constants.signals[error.signal];
      }
      if (error instanceof DocumentError) {
        print('holdfast demo', `${given ?? ''} cannot be used: ${error.message}`);
        return exitCodes.badData;
      }
      throw error;
    }
  },
});

/** The file itself where a link is given: a link is not replaced. */
async function resolveFile(given: string): Promise<string> {
  try {
    return await realpath(given);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new DocumentError('there is no such file');
  }
}

async function withTemporaryFile(use: (file: string) => Promise<number>): Promise<number> {
  const directory = await mkdtemp(path.join(await realpath(tmpdir()), 'holdfast-demo-'));
  try {
    const file = path.join(directory, 'counter.json');
    await writeFile(file, JSON.stringify({ title: 'The file of holdfast demo' }));
    return await use(file);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
