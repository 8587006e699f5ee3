/** The calls of `updateFile` that share rounds: what a round does with the file. */
import { GivenBytes, toBytes, type Data } from './bytes.js';
import type { FileLock } from './file-lock.js';
import { runNested } from './nesting.js';
import type { LockRequest } from './options.js';
import { readChecked } from './read-file.js';
import { absent, asyncRetry, replace } from './replace.js';
import type { FileIdentity, ReadRequest, ReplaceRequest } from './replace-options.js';
import type { CallerOptions } from './round-call.js';
import { RoundGroups, type RoundWork } from './rounds.js';

/**
 * Gets a copy of the current bytes, null when there is no file; returns the new ones, which are copied, or undefined to
 * leave the file alone.
 */
export type UpdateFunction<Result> = (current: Buffer | null) => Result;

/** A checked update: one request for each of its steps, and none looks at the options again. */
export interface UpdateRequest {
  path: string;
  lock: LockRequest;
  read: ReadRequest;
  /** Without the lock and the expected file, which each commit adds. */
  replace: ReplaceRequest;
  caller: CallerOptions;
}

export type AnyUpdate = UpdateFunction<Data | undefined | PromiseLike<Data | undefined>>;

type Contents = Buffer | null;

/** What the file holds, and which file that was read from. */
interface FileState {
  contents: Contents;
  identity: FileIdentity | null;
}

const groups = new RoundGroups<FileState, AnyUpdate, Contents>();

export function joinUpdates(request: UpdateRequest, fn: AnyUpdate): Promise<Contents> {
  const { lock, read, replace, caller } = request;
  // Calls may share a commit if all of this is equal.
  const key = JSON.stringify([lock, read, replace]);
  return groups.join(key, () => new UpdateWork(request), fn, caller);
}

/** The replace that makes an update of the file that was read. */
export function commitOf(
  replace: ReplaceRequest,
  read: FileIdentity | null,
  lock: FileLock,
): ReplaceRequest {
  return { ...replace, lock, native: { ...replace.native, expected: read ?? absent } };
}

/** What a function returns is the file's; what is done to that buffer later is not. */
export function copyOfReturned(returned: Data): Buffer {
  return typeof returned === 'string'
    ? Buffer.from(returned)
    : Buffer.from(toBytes(returned, 'what fn returns'));
}

class UpdateWork implements RoundWork<FileState, AnyUpdate, Contents> {
  readonly lock: LockRequest;
  readonly maxCalls = 64;
  readonly retry: number;
  readonly #request: UpdateRequest;

  constructor(request: UpdateRequest) {
    this.#request = request;
    this.lock = request.lock;
    this.retry = request.replace.retry ?? asyncRetry;
  }

  async read(): Promise<FileState> {
    return (await readChecked(this.#request.read)) ?? { contents: null, identity: null };
  }

  async apply(fn: AnyUpdate, current: FileState, held: FileLock): Promise<FileState> {
    const { contents, identity } = current;
    // A copy, so that what one does to it in place is nothing to the next.
    const returned = await runNested(held, () => fn(contents && Buffer.from(contents)));
    if (returned === undefined) return current;
    return { contents: copyOfReturned(returned), identity };
  }

  /** Compare-and-swap, with the lock too: somebody else may have gone on without it. */
  async commit({ contents }: FileState, before: FileState, held: FileLock): Promise<void> {
    if (contents === null) return;
    await replace(commitOf(this.#request.replace, before.identity, held), new GivenBytes(contents));
  }

  toResult({ contents }: FileState): Contents {
    return contents && Buffer.from(contents);
  }
}
