/** Reads what is in a journal, of which nothing is believed but that it is lines. */
import { constants, promises, type Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { HoldfastError, type HoldfastErrorCode } from '../errors.js';
import type { JournalLine } from '../journal-line.js';

/** No event comes near that; what does is passed over, and not kept in memory. */
const longestLine = 1 << 20;
const chunkSize = 1 << 16;

/** The events in `path`, one after the other; null for each line that is none. */
export async function* readJournal(path: string): AsyncGenerator<JournalLine | null> {
  const file = await openRegularFile(path);
  try {
    for await (const line of linesOf(file)) {
      if (line !== '') yield line === null ? null : toEvent(line);
    }
  } finally {
    await file.close();
  }
}

/** Without following a link, where the system has a flag for that, and without waiting for a FIFO's other end. */
async function openRegularFile(path: string): Promise<FileHandle> {
  // Not everywhere: Windows has neither flag.
  const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;
  const file = await promises
    .open(path, constants.O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    .catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      throw code === 'ELOOP' ? refusal('ELOOP', 'refused to follow a link', path) : error;
    });
  const status: Stats = await file.stat();
  if (status.isFile()) return file;
  await file.close();
  throw refusal('EINVAL', 'refused what is not a regular file', path);
}

function refusal(code: HoldfastErrorCode, why: string, path: string): HoldfastError {
  return new HoldfastError(code, `${why}, open '${path}'`, {
    syscall: 'open',
    path,
    refused: true,
  });
}

/** Null for a line that is too long. What follows the last newline is a line, too: somebody was cut off in it. */
async function* linesOf(file: FileHandle): AsyncGenerator<string | null> {
  const buffer = Buffer.alloc(chunkSize);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let skipping = false;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, chunkSize);
    const text = bytesRead === 0 ? decoder.end() : decoder.write(buffer.subarray(0, bytesRead));
    const [first = '', ...others] = text.split('\n');
    rest += first;
    for (const other of others) {
      yield skipping || rest.length > longestLine ? null : rest;
      skipping = false;
      rest = other;
    }
    if (rest.length > longestLine) {
      skipping = true;
      rest = '';
    }
    if (bytesRead === 0) break;
  }
  if (skipping || rest !== '') yield skipping ? null : rest;
}

function toEvent(line: string): JournalLine | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { event, time, pid, host } = value as Partial<JournalLine>;
  const known =
    typeof event === 'string' &&
    typeof time === 'string' &&
    typeof pid === 'number' &&
    typeof host === 'string';
  return known ? (value as JournalLine) : null;
}
