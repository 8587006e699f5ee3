/** The calls of `updateFile` that share rounds: what a round does with the file. */
import { toBuffer, toBytes, type Data } from './bytes.js';
import type { FileLock } from './file-lock.js';
import type { LockOptions } from './options.js';
import { readRegularFile } from './read-file.js';
import { absent, asyncRetry, replace } from './replace.js';
import { toReplaceRequest, type FileIdentity, type ReplaceOptions } from './replace-options.js';
import { RoundGroups, type RoundWork } from './rounds.js';

/**
 * Gets a copy of the current bytes, null when there is no file; returns the new ones, or undefined to leave the file
 * alone. Returned bytes must not be changed before the call has ended.
 */
export type UpdateFunction<Result> = (current: Buffer | null) => Result;

/** The options of an update, for each of its steps. */
export interface UpdateParts {
  path: string;
  lock: LockOptions;
  read: { maxBytes?: number; journalDir?: string | URL; links?: 'refuse' | 'follow' };
  replace: ReplaceOptions;
  signal: AbortSignal | undefined;
  timeout: number;
  /** Equal for calls that may share a commit. */
  key: string;
}

export type AnyUpdate = UpdateFunction<Data | undefined | PromiseLike<Data | undefined>>;

type Contents = Buffer | null;

/** What the file holds, and which file that was read from. */
interface FileState {
  contents: Contents;
  identity: FileIdentity | null;
}

const groups = new RoundGroups<FileState, AnyUpdate, Contents>();

export function joinUpdates(parts: UpdateParts, fn: AnyUpdate): Promise<Contents> {
  return groups.join(parts.key, () => new UpdateWork(parts), fn, parts.signal);
}

class UpdateWork implements RoundWork<FileState, AnyUpdate, Contents> {
  readonly target: string;
  readonly lock: LockOptions;
  readonly timeout: number;
  readonly maxCalls = 64;
  readonly retry: number;
  readonly #parts: UpdateParts;

  constructor(parts: UpdateParts) {
    this.#parts = parts;
    this.target = parts.path;
    this.lock = parts.lock;
    this.timeout = parts.timeout;
    this.retry = parts.replace.retry ?? asyncRetry;
  }

  async read(): Promise<FileState> {
    const read = await readRegularFile(this.target, this.#parts.read);
    return read ?? { contents: null, identity: null };
  }

  async apply(fn: AnyUpdate, current: FileState): Promise<FileState> {
    const { contents, identity } = current;
    // A copy, so that what one does to it in place is nothing to the next.
    const returned = await fn(contents && Buffer.from(contents));
    if (returned === undefined) return current;
    return { contents: toBuffer(toBytes(returned, 'what fn returns')), identity };
  }

  /** Compare-and-swap, with the lock too: somebody else may have gone on without it. */
  async commit({ contents }: FileState, before: FileState, held: FileLock): Promise<void> {
    if (contents === null) return;
    const request = toReplaceRequest('replaceFile', this.target, this.#parts.replace);
    request.lock = held;
    request.native = { ...request.native, expected: before.identity ?? absent };
    await replace(request, contents);
  }

  toResult(_own: FileState, { contents }: FileState): Contents {
    return contents && Buffer.from(contents);
  }
}
