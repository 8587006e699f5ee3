import { createReadStream, fstatSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';

import { replaceFile } from '../index.js';
import { defineCommand, onlyOperand, UsageError } from './command.js';
import type { Options } from './command.js';
import { formatBytes } from './bytes.js';
import { exitCodes } from './exit-codes.js';
import { interruptible, Interruption } from './interruption.js';
import { describe, print } from './report.js';
import { StatusLine } from './terminal.js';

const program = 'holdfast replace';
const durabilities = ['none', 'ordered', 'full'] as const;
const exists = 1;

const options = {
  mode: {
    type: 'string',
    short: 'm',
    value: 'MODE',
    text: "Give the file exactly these permissions, in octal, whatever the umask: 600, 0644. Default: the old file's; for a new one, those of any new file.",
  },
  durability: {
    type: 'string',
    value: 'LEVEL',
    text: 'What a loss of power may do. none: anything; ordered: the file is old or new, never torn; full: the new contents are on the disk when the command ends. Default: ordered.',
  },
  'create-only': {
    type: 'boolean',
    text: 'Make a new file, and give up if FILE exists. Default: replace it.',
  },
} as const satisfies Options;

export const replace = defineCommand({
  name: 'replace',
  summary: 'Replace a file by what comes from standard input, whole or not at all',
  synopsis: '[options] FILE',
  about: [
    'Reads standard input to its end and gives FILE these contents in one step: whoever reads FILE finds the old contents or the new ones, whole. Whatever fails before that, and a signal that ends the command, leave FILE as it was and nothing beside it.',
    'A FILE that is a link, or has other names (hard links), is refused. Where nothing can be renamed over FILE (a mounted file, a directory that may not be written), the contents are copied into it, with an undo file. No lock is taken: for a change of what is there, run the whole of it under one.',
  ],
  options,
  exitStatus: [
    ['0', 'FILE has the new contents'],
    ['1', 'FILE exists, and --create-only was given'],
    ['64', 'the command line is wrong'],
    ['71', 'the system said no, or standard input could not be read'],
    ['77', 'refused: FILE is not safe to replace'],
    ['128+N', 'ended by signal N'],
  ],
  examples: [
    ['./render | holdfast replace page.html', 'No reader sees half a page:'],
    [
      'holdfast replace --mode 600 --durability full token < new-token',
      'For the owner alone, and on the disk:',
    ],
  ],

  async run({ values, operands, rest }) {
    const file = onlyOperand([...operands, ...(rest ?? [])], 'FILE');
    const wanted = {
      mode: values.mode === undefined ? undefined : modeValue(values.mode),
      durability: values.durability === undefined ? undefined : durabilityValue(values.durability),
      createOnly: values['create-only'],
    };
    const input = standardInput();
    const endProgress = showProgress(input);
    try {
      await interruptible((signal) =>
        replaceFile(file, input, { ...wanted, signal }).finally(endProgress),
      );
      return 0;
    } catch (error) {
      if (error instanceof Interruption) {
        print(program, `ended by ${error.signal}`);
        return exitCodes.signalBase + constants.signals[error.signal];
      }
      if (!wanted.createOnly || (error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      print(program, describe(error as Error));
      return exists;
    }
  },
});

/** Says how much has come so far, on a terminal, until the function that it hands back is called. */
function showProgress(input: Readable & { readonly bytesRead: number }): () => void {
  if (!process.stderr.isTTY) return () => undefined;
  const status = new StatusLine(process.stderr);
  const ticker = setInterval(() => {
    status.update(() => `${formatBytes(input.bytesRead)} so far`);
  }, 100);
  return () => {
    clearInterval(ticker);
    status.clear();
  };
}

function standardInput(): Readable & { readonly bytesRead: number } {
  const descriptor = 0;
  // `process.stdin` is empty where it is a directory; reading it is the error that it should be.
  if (fstatSync(descriptor).isDirectory()) return createReadStream('', { fd: descriptor });
  return process.stdin;
}

function modeValue(text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return parseInt(text, 8);
  throw new UsageError(
    `option '--mode' must be permissions in octal such as 600 or 0644, got '${text}'`,
  );
}

function durabilityValue(text: string): (typeof durabilities)[number] {
  const found = durabilities.find((durability) => durability === text);
  if (found !== undefined) return found;
  throw new UsageError(`option '--durability' must be none, ordered or full, got '${text}'`);
}
