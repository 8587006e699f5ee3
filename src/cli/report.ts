import { HoldfastError } from '../errors.js';
import type { ReplaceFailure } from '../index.js';
import { UsageError } from './command.js';
import { exitCodes } from './exit-codes.js';
import { stepsOfLock, stepsOfReplace } from './next-steps.js';
import { complain } from './terminal.js';

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
    complain(`Try '${program} --help'.`);
    return exitCodes.usage;
  }
  if (!(error instanceof Error)) {
    print(program, String(error));
    return exitCodes.systemError;
  }
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
  complain(`${program}: ${message}`);
}

/** An error in a line, with what can be done about it. */
export function describe(error: Error): string {
  const { code, message, phase, targetState } = error as NodeJS.ErrnoException &
    Partial<ReplaceFailure>;
  if (code === undefined) return message;
  const nextStep = (phase === undefined ? stepsOfLock : stepsOfReplace)[code];
  return (
    (message.includes(code) ? message : `${message} (${code})`) +
    (targetState === undefined ? '' : states[targetState]) +
    (nextStep === undefined ? '' : `. ${nextStep}.`)
  );
}
