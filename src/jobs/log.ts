/** The log of a job: its lines, in a file that only grows. */
import { join } from 'node:path';
import { toError } from '../errors.js';
import { native } from '../native.js';
import { show } from '../show.js';
import { corrupt } from './format.js';
import type { JobPlace } from './names.js';
import type { JobStoreSettings } from './options.js';
import type { JobLog, NewLines } from './state.js';

const maxLineLength = 1024 * 1024;
/** In bytes: six for a unit that JSON escapes, the quotation marks and the newline. */
const longestEncodedLine = 6 * maxLineLength + 3;
/** What is read at once: little for the last lines, and never so much that others wait for it. */
const firstChunk = 64 * 1024;
const largestChunk = 4 * 1024 * 1024;
const newLine = 0x0a;

/** One line as the file holds it: a string of JSON, so that whatever is in it is one line there. */
export function encodeLine(line: unknown): string {
  if (typeof line !== 'string') {
    throw new TypeError(`a line of a log must be a string, got ${show(line)}`);
  }
  if (line.length > maxLineLength) {
    throw new RangeError(
      `a line of a log must have at most ${maxLineLength} characters, got ${line.length}`,
    );
  }
  return `${JSON.stringify(line)}\n`;
}

export function bytesOf(lines: NewLines): Buffer {
  const encoded: string[] = [];
  for (let at: NewLines | null = lines; at !== null; at = at.before) encoded.push(at.encoded);
  return Buffer.from(encoded.reverse().join(''));
}

/** Writes behind what counts of a log. What an append that was cut short has left there is written over. */
export async function writeTail(
  settings: JobStoreSettings,
  path: string,
  offset: number,
  bytes: Buffer,
): Promise<void> {
  const { refuseParentLinks, anyOwner, durabilityIndex } = settings;
  const range = [path, refuseParentLinks, offset, anyOwner] as const;
  const writing = await native.writeFileTail(...range, durabilityIndex, bytes);
  if (!writing.ok) throw toError(writing.error);
  if (!writing.exists) throw corrupt(path, 'the log of a job is gone');
  if (writing.fileSize < offset) {
    throw corrupt(path, `the log of a job has ${writing.fileSize} bytes instead of ${offset}`);
  }
}

/**
 * The lines from number `from` on, backwards from the end of what counts, so that the last ones of a long log are cheap.
 * Null when the file does not have them: it is gone, or shorter than its state says.
 */
export async function readLines(
  settings: JobStoreSettings,
  place: JobPlace,
  log: JobLog,
  from: number,
): Promise<string[] | null> {
  const wanted = log.lines - from;
  if (log.file === null || wanted <= 0) return [];
  const path = join(place.directory, log.file);
  const parts: string[][] = [];
  let found = 0;
  let end = log.bytes;
  let rest: Buffer = Buffer.alloc(0);
  for (let size = firstChunk; found < wanted; size = Math.min(2 * size, largestChunk)) {
    if (end === 0) throw corrupt(path, 'the log of a job has fewer lines than its state says');
    const start = Math.max(0, end - size);
    const chunk = await readChunk(settings, path, start, end - start);
    if (chunk === null) return null;
    const bytes = Buffer.concat([chunk, rest]);
    // A line that may begin in an earlier chunk is left for that one: `rest` is the end of one line.
    const whole = start === 0 ? 0 : bytes.indexOf(newLine) + 1;
    const lines = parseLines(path, bytes.subarray(whole));
    rest = bytes.subarray(0, whole);
    if (rest.length > longestEncodedLine) throw corrupt(path, 'a line of a log is too long');
    parts.push(lines);
    found += lines.length;
    end = start;
  }
  const all = parts.reverse().flat();
  if (from === 0 && found > wanted) {
    throw corrupt(path, 'the log of a job has more lines than its state says');
  }
  return all.slice(found - wanted);
}

/** What a log lacks that {@link readLines} could not read. */
export async function missingLog(
  settings: JobStoreSettings,
  place: JobPlace,
  log: JobLog,
): Promise<Error> {
  const path = join(place.directory, log.file ?? '');
  const reading = await readRange(settings, path, 0, 0);
  if (!reading.ok) return toError(reading.error);
  return corrupt(
    path,
    reading.exists ? 'the log of a job is shorter than its state says' : 'the log of a job is gone',
  );
}

async function readChunk(
  settings: JobStoreSettings,
  path: string,
  offset: number,
  size: number,
): Promise<Buffer | null> {
  const reading = await readRange(settings, path, offset, size);
  if (!reading.ok) throw toError(reading.error);
  return reading.exists && reading.contents.length === size ? reading.contents : null;
}

function readRange(settings: JobStoreSettings, path: string, offset: number, size: number) {
  const { refuseParentLinks, anyOwner } = settings;
  return native.readFileRange(path, refuseParentLinks, offset, anyOwner, size);
}

/** Whole lines: each is JSON and ends with the only character of its kind in it. */
function parseLines(path: string, bytes: Buffer): string[] {
  if (bytes.length === 0) return [];
  const encoded = bytes.toString().split('\n');
  try {
    // The last line ends, too.
    if (encoded.pop() !== '') throw new SyntaxError('the last line does not end');
    const lines = JSON.parse(`[${encoded.join(',')}]`) as unknown[];
    const isWhole = lines.length === encoded.length;
    if (isWhole && lines.every((line) => typeof line === 'string')) return lines;
  } catch (cause) {
    throw corrupt(path, 'the log of a job is damaged', cause);
  }
  throw corrupt(path, 'the log of a job is damaged');
}
