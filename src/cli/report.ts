import { HoldfastError } from '../index.js';
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

function describe(error: NodeJS.ErrnoException): string {
  const { code, message } = error;
  if (code === undefined) return message;
  const nextStep = nextSteps[code];
  return (
    (message.includes(code) ? message : `${message} (${code})`) +
    (nextStep === undefined ? '' : `. ${nextStep}.`)
  );
}
