import { HoldfastError } from '../errors.js';
import type { ReplaceFailure } from '../index.js';
import { UsageError } from './command.js';
import { exitCodes } from './exit-codes.js';
import { printable } from './terminal.js';

/** What the user can do about a failure, where the code says it. */
const nextSteps: Readonly<Record<string, string>> = {
  EACCES:
    'Whoever locks a file must be allowed to write in its directory and to the lock file there',
  EPERM:
    'Whoever locks a file must be allowed to write in its directory and to the lock file there',
  ECORRUPT: 'Move what is there away if nobody needs it: holdfast does not write over it',
  ELOOP:
    'Name what the link leads to; if the lock file is the link, holdfast did not make it: remove it',
  ENOENT: 'The directory must exist; the file need not',
  ENOLCK: 'The file system there offers no locks: use a file on another one',
  ENOSYS: 'The file system there offers no locks: use a file on another one',
  EOPNOTSUPP: 'The file system there offers no locks: use a file on another one',
  EROFS: 'The file system is read-only: use a file on another one',
};

/** The same where a file was to be replaced. */
const nextStepsOfReplace: Readonly<Record<string, string>> = {
  EACCES: 'Whoever replaces a file must be allowed to write in its directory',
  EPERM: 'Whoever replaces a file must be allowed to write in its directory',
  ELOOP: 'Name what the link leads to',
  EMLINK: 'The other names would keep the old contents: remove them, or write a new file',
  ENOENT: 'The directory must exist; the file need not',
};

/** What is in the file's place, where it is not the old contents. */
const states: Readonly<Record<ReplaceFailure['targetState'], string>> = {
  old: '',
  restored: '',
  new: '. The new contents are in place',
  unknown: '. The contents are not whole: the next use of holdfast restores the old ones',
};

/** Prints an error as a line on stderr, without a stack, and hands back the exit code that goes with it. */
export function report(program: string, error: unknown): number {
  if (error instanceof UsageError) {
    print(program, error.message);
    process.stderr.write(`Try '${program} --help'.\n`);
    return exitCodes.usage;
  }
  if (!(error instanceof Error)) throw error;
  // The library refused what the command line said, such as an empty path.
  if (error instanceof TypeError || error instanceof RangeError) {
    print(program, error.message);
    return exitCodes.usage;
  }
  print(program, describe(error));
  return error instanceof HoldfastError && error.refused
    ? exitCodes.refused
    : exitCodes.systemError;
}

/** Prints one line on stderr that begins with the program's name. */
export function print(program: string, message: string): void {
  process.stderr.write(`${program}: ${printable(message)}\n`);
}

/** An error in a line, with what can be done about it. */
export function describe(error: Error): string {
  const { code, message, phase, targetState } = error as NodeJS.ErrnoException &
    Partial<ReplaceFailure>;
  if (code === undefined) return message;
  const nextStep = (phase === undefined ? nextSteps : nextStepsOfReplace)[code];
  return (
    (message.includes(code) ? message : `${message} (${code})`) +
    (targetState === undefined ? '' : states[targetState]) +
    (nextStep === undefined ? '' : `. ${nextStep}.`)
  );
}
