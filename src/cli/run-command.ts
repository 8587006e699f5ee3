import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { isatty } from 'node:tty';

import { findBatchFile, isBatchFile } from './batch-file.js';
import { exitCodes } from './exit-codes.js';
import { print } from './report.js';

const signalsToUs: readonly NodeJS.Signals[] = [
  ...(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const),
  'SIGBREAK', // Windows
];
const sentByTerminal: readonly string[] = ['SIGINT', 'SIGQUIT'];

export interface CommandResult {
  readonly exitCode: number;
  /** Whether there was a process at all. */
  readonly started: boolean;
}

/**
 * Runs a command in the foreground, without a shell and with our standard streams, to its end. `descriptor` is one more
 * of ours that it inherits, under a number that programs and scripts do not write to by habit.
 */
export async function runCommand(
  [file = '', ...args]: readonly string[],
  descriptor: number | null,
): Promise<CommandResult> {
  let child: ChildProcess | undefined;
  // Before the command exists, so that no signal ends us and leaves it behind.
  const stop = onSignals((signal) => child?.kill(signal));
  try {
    child = spawn(file, args, { stdio: streams(descriptor) });
    const ended = exitCodeOf(child);
    // Rejects on 'error': that is how some failures to start arrive, while others are thrown by spawn.
    await once(child, 'spawn');
    // From here on an error is a signal that may not be sent, to a command that has become another user's: it goes on.
    child.on('error', ({ message }) => {
      print('holdfast run', `a signal could not be passed on: ${message}`);
    });
    return { exitCode: await ended, started: true };
  } catch (error) {
    return { exitCode: explainFailure(file, error as NodeJS.ErrnoException), started: false };
  } finally {
    stop();
  }
}

/** Low enough for every usual limit of open files, and above what shells and scripts use: 3 to 9, 10, 99, 200, 255. */
const inheritedAs = 87;

function streams(descriptor: number | null): StdioOptions {
  const standard = ['inherit', 'inherit', 'inherit'] as const;
  if (descriptor === null) return [...standard];
  const unused = Array<'ignore'>(inheritedAs - standard.length).fill('ignore');
  return [...standard, ...unused, descriptor];
}

function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal === null ? (code ?? 0) : exitCodes.signalBase + constants.signals[signal]);
    });
  });
}

/** Calls `pass` for every signal that the command would not get without us; hands back the way to stop. */
function onSignals(pass: (signal: NodeJS.Signals) => void): () => void {
  const onTerminal = isatty(0);
  const reachesCommand = (signal: NodeJS.Signals): boolean =>
    // On Windows all that there are come from the console, to everybody there; and to send one is to end the command.
    process.platform === 'win32' || (onTerminal && sentByTerminal.includes(signal));
  const listener = (signal: NodeJS.Signals): void => {
    if (!reachesCommand(signal)) pass(signal);
  };
  const signals = signalsToUs.filter((signal) => signal in constants.signals);
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}

function explainFailure(file: string, error: NodeJS.ErrnoException): number {
  const unknown = error.code === 'ENOENT' || (error.code === 'EINVAL' && isBatchFile(file));
  const batchFile = unknown && process.platform === 'win32' ? findBatchFile(file) : null;
  if (batchFile !== null) {
    print(
      'holdfast run',
      `${file}: cannot be executed without a shell, since it is a batch file; say which: -- cmd /d /c ${batchFile}`,
    );
    return exitCodes.notExecutable;
  }
  if (unknown) {
    print('holdfast run', `${file}: command not found`);
    return exitCodes.notFound;
  }
  print('holdfast run', `${file}: cannot be executed (${error.code ?? error.message})`);
  return exitCodes.notExecutable;
}
