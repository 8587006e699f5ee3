import { checkArgumentCount } from './option-checks.js';
import { toError } from './errors.js';
import { followLinks, followLinksSync } from './links.js';
import { native, type NativeReading } from './native.js';
import {
  toReadRequest,
  type FileIdentity,
  type ReadOptions,
  type ReadRequest,
} from './replace-options.js';
import { Retries } from './retries.js';

/** Milliseconds that a copy under way is waited for, and between two looks at it. */
const longestCopy = 10_000;
const longestDelay = 10;

export interface FileContents {
  contents: Buffer;
  /** For `ifMatch`. */
  identity: FileIdentity;
}

/**
 * Reads a whole regular file; null when it, or its directory, is absent.
 *
 * Refuses links (ELOOP) and what is not a regular file (EINVAL) on the open descriptor, and files longer than `maxBytes`
 * (EFBIG). Never sees half of a replace by holdfast, copies included: one that a crash cut short is made good first,
 * one under way is waited for (10 seconds, then EBUSY naming its undo file). What a crash left and cannot be made good is
 * a refusal that names the undo file: another user's (EPERM), none of holdfast's, or the file was changed since (ECORRUPT).
 *
 * @see [open(2)](https://man7.org/linux/man-pages/man2/open.2.html), on `O_NOFOLLOW` and `O_NONBLOCK`
 */
export async function readRegularFile(
  path: string | URL,
  options?: ReadOptions,
): Promise<FileContents | null> {
  checkArgumentCount('readRegularFile', arguments.length, 2);
  return withoutTime(await readChecked(toReadRequest('readRegularFile', path, options)));
}

/** As {@link readRegularFile}, on this thread. */
export function readRegularFileSync(
  path: string | URL,
  options?: ReadOptions,
): FileContents | null {
  checkArgumentCount('readRegularFileSync', arguments.length, 2);
  return withoutTime(readCheckedSync(toReadRequest('readRegularFileSync', path, options)));
}

/** What was read, and when it had last changed by the file system's clock: milliseconds since 1970. */
type TimedContents = FileContents & { modifiedMs: number };

function withoutTime(read: TimedContents | null): FileContents | null {
  return read && { contents: read.contents, identity: read.identity };
}

/** A checked {@link readRegularFile}, also of an update. */
export async function readChecked({
  native: asked,
  follow,
}: ReadRequest): Promise<TimedContents | null> {
  const options = follow
    ? { ...asked, path: await followLinks(asked.path, asked.refuseParentLinks) }
    : asked;
  const retries = new Retries(longestCopy, longestDelay);
  let reading = await native.readFile(options);
  // Waited for here, and not in the pool, which every file of the process needs.
  while (!reading.ok && reading.transient && !retries.exhausted) {
    await retries.wait(undefined);
    reading = await native.readFile(options);
  }
  return toContents(reading);
}

/** As {@link readChecked}, on this thread. */
export function readCheckedSync({ native: asked, follow }: ReadRequest): TimedContents | null {
  const options = follow
    ? { ...asked, path: followLinksSync(asked.path, asked.refuseParentLinks) }
    : asked;
  const retries = new Retries(longestCopy, longestDelay);
  let reading = native.readFileSync(options);
  while (!reading.ok && reading.transient && !retries.exhausted) {
    retries.waitSync();
    reading = native.readFileSync(options);
  }
  return toContents(reading);
}

function toContents(reading: NativeReading): TimedContents | null {
  if (!reading.ok) throw toError(reading.error);
  if (!reading.exists) return null;
  const { contents, identity, modifiedMs } = reading;
  return { contents, identity, modifiedMs };
}
