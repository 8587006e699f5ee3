/** Atomic replace: readers see the old contents or the new, whatever happens on the way. */
import { checkArgumentCount } from './option-checks.js';
import { isStream, toBytes, type Data, type DataStream } from './bytes.js';
import { ChunkSource } from './chunks.js';
import { HoldfastError, toError } from './errors.js';
import { publish } from './events.js';
import { idOf, lossOf, verifyBeforeWrite, type FileLock } from './file-lock.js';
import { followLinks, followLinksSync } from './links.js';
import { changeUnderLock, changeUnderLockSync } from './lock.js';
import {
  isReplaceFailure,
  native,
  replaceMethodMask,
  ReplaceResultFlag,
  ReplaceStep,
  type NativeError,
  type NativeReplaceOutcome,
  type NativeReplaceResult,
  type ReplaceArguments,
} from './native.js';
import { Retries } from './retries.js';
import { readRegularFile, readRegularFileSync } from './read-file.js';
import {
  alwaysCopies,
  refusesParentLinks,
  toReplaceRequest,
  type ExpectedFile,
  type FileIdentity,
  type ReadOptions,
  type ReplaceOptions,
  type ReplaceRequest,
  type ReplaceSyncOptions,
} from './replace-options.js';
import { sha256Hex } from './sha256.js';

export interface ReplaceResult {
  /**
   * How the file was published: renamed over the old one, copied into it, or, on Windows where a volume cannot rename
   * over an open file, by ReplaceFileW, between whose steps the name leads nowhere for a moment.
   */
  method: 'rename' | 'copy' | 'replace-file';
  /** How often publishing was tried. */
  attempts: number;
  /** Milliseconds spent waiting between tries. */
  waitedMs: number;
  /** Whether the new contents and their name are known to be on the disk (`durability: 'full'`). */
  durable: boolean;
  /** What was taken over from the old file. */
  kept: ('mode' | 'owner' | 'xattr' | 'acl')[];
  /** The identity of the file that was published. */
  identity: FileIdentity;
  /** Whether another file was already in its place when the call returned. */
  superseded: boolean;
}

/** What an error of a replace tells besides its code. */
export interface ReplaceFailure {
  /** The step that failed. */
  phase: string;
  /** Whether the new contents are in place all the same. */
  published: boolean;
  /** What is in the target's place now. */
  targetState: 'old' | 'new' | 'restored' | 'unknown';
}

const methods = ['rename', 'copy', 'replace-file'] as const;
const targetStates = ['old', 'new', 'restored', 'unknown'] as const;
const keepNames = ['mode', 'owner', 'xattr', 'acl'] as const;
/** Milliseconds, where `retry` is not given. */
export const asyncRetry = 10_000;
export const syncRetry = 2_000;
/** What the addon expects where there is to be no file. */
export const absent = '';
const everyStep = ReplaceStep.begin | ReplaceStep.write | ReplaceStep.commit;

/**
 * Gives the file `path` new contents: all of them, or none.
 *
 * The contents go to a temporary file beside the target, which then takes its place in one step. Where that cannot be
 * done (`copyFallback`), they are copied into the target under an undo file. Whatever fails, the old contents and mode stay,
 * and nothing is left behind; the error says so (`phase`, `published`, `targetState`). The bytes of a Buffer must not be
 * changed before the promise is settled. A stream is written as it comes, in bounded memory.
 *
 * Rejects with the system's error (ENOSPC, EACCES, ENOENT, …), with a refusal (ELOOP, EMLINK, EISDIR, EINVAL, EPERM,
 * EXDEV), with ECONFLICT (`ifMatch`), ECOMPROMISED (`lock`), the stream's error, or `signal.reason`.
 *
 * On Linux the temporary file has no name until it is complete (`O_TMPFILE`), so that a kill leaves none; elsewhere, and where
 * the file system has no such files, the next use removes it. On Windows a target that somebody has open is replaced all the
 * same where the volume can (a POSIX rename, NTFS), else by `ReplaceFileW`, between whose steps the name leads nowhere.
 *
 * Not promised: that a rename is on the disk before `durability` is `'full'`; that it is on Windows, where the system does not
 * say; anything about two files together.
 *
 * @see [rename(2)](https://man7.org/linux/man-pages/man2/rename.2.html), on what a reader sees
 * @see [open(2)](https://man7.org/linux/man-pages/man2/open.2.html), on `O_TMPFILE`
 * @see [FILE_RENAME_INFO](https://learn.microsoft.com/en-us/windows/win32/api/winbase/ns-winbase-file_rename_info) and
 * [ReplaceFileW](https://learn.microsoft.com/en-us/windows/win32/api/winbase/nf-winbase-replacefilew), on Windows
 * @see [What a replace means](../docs/atomic-replace.md)
 */
export async function replaceFile(
  path: string | URL,
  data: Data | DataStream,
  options?: ReplaceOptions,
): Promise<ReplaceResult> {
  checkArgumentCount('replaceFile', arguments.length, 3);
  const request = toReplaceRequest('replaceFile', path, options);
  if (typeof data === 'string' || !isStream(data)) return replace(request, toBytes(data));
  const chunks = new ChunkSource(data, request.signal);
  try {
    return await replace(request, chunks);
  } finally {
    chunks.close();
  }
}

/** As {@link replaceFile}, on this thread; without streams. */
export function replaceFileSync(
  path: string | URL,
  data: Data,
  options?: ReplaceSyncOptions,
): ReplaceResult {
  checkArgumentCount('replaceFileSync', arguments.length, 3);
  return replaceSync(toReplaceRequest('replaceFileSync', path, options), toBytes(data));
}

/** A checked replace on this thread, also of `updateFileSync`. */
export function replaceSync(request: ReplaceRequest, bytes: Uint8Array): ReplaceResult {
  const { ifMatch } = request;
  if (request.follow) request.path = followLinksSync(request.path, refusesParentLinks(request));
  if (ifMatch === undefined) return commitSync(request, bytes);
  const swap = (held: FileLock): ReplaceResult => {
    request.lock = held;
    const current = readRegularFileSync(request.path, readOptions(request));
    expectMatch(request, ifMatch, current);
    return commitSync(request, bytes);
  };
  return request.lock
    ? swap(request.lock)
    : changeUnderLockSync(request.path, placeOptions(request), swap);
}

/** A checked replace; {@link replaceFile} and `updateFile` come together here. */
export async function replace(
  request: ReplaceRequest,
  data: Uint8Array | ChunkSource,
): Promise<ReplaceResult> {
  request.signal?.throwIfAborted();
  const { ifMatch, signal } = request;
  if (request.follow) request.path = await followLinks(request.path, refusesParentLinks(request));
  if (ifMatch === undefined) return commit(request, data);
  const { path } = request;
  const swap = async (held: FileLock): Promise<ReplaceResult> => {
    request.lock = held;
    expectMatch(request, ifMatch, await readRegularFile(path, readOptions(request)));
    return commit(request, data);
  };
  if (request.lock) return swap(request.lock);
  return changeUnderLock(path, { signal, ...placeOptions(request) }, swap);
}

async function commit(
  request: ReplaceRequest,
  data: Uint8Array | ChunkSource,
): Promise<ReplaceResult> {
  const { signal } = request;
  const id = native.openReplacement(...replaceArguments(request));
  const onAbort = (): void => {
    native.cancelReplacement(id);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    if (data instanceof Uint8Array) {
      return await commitSteps(request, id, everyStep, data);
    }
    return await commitStream(request, id, data);
  } finally {
    signal?.removeEventListener('abort', onAbort);
    native.closeReplacement(id);
  }
}

async function commitStream(
  request: ReplaceRequest,
  id: number,
  chunks: ChunkSource,
): Promise<ReplaceResult> {
  await untilSettled(request, (flags) => native.replaceSteps(id, ReplaceStep.begin | flags));
  for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
    const bytes = toBytes(chunk, 'each chunk of data');
    toResult(request, await native.replaceSteps(id, ReplaceStep.write, bytes));
  }
  verifyBeforeWrite(request.lock);
  return commitSteps(request, id, ReplaceStep.commit);
}

async function commitSteps(
  request: ReplaceRequest,
  id: number,
  steps: number,
  bytes?: Uint8Array,
): Promise<ReplaceResult> {
  return untilSettled(request, (flags) => native.replaceSteps(id, steps | flags, bytes));
}

/** Tries steps again while it is only an open file, or a copy under way, that is in their way. */
async function untilSettled(
  request: ReplaceRequest,
  tryOnce: (flags: number) => Promise<NativeReplaceOutcome>,
): Promise<ReplaceResult> {
  const retries = new Retries(request.retry ?? asyncRetry);
  let outcome = await tryOnce(retries.flags);
  while (isReplaceFailure(outcome) && outcome.transient && !retries.exhausted) {
    await retries.wait(request.signal);
    verifyBeforeWrite(request.lock);
    outcome = await tryOnce(retries.flags);
  }
  return toResult(request, outcome, retries);
}

/** With a lock that is held; at the commit the addon makes sure once more. */
function replaceArguments(request: ReplaceRequest): ReplaceArguments {
  const { path, flags, mode, lock, native: options } = request;
  // Who went on without a lock has none to lose.
  if (lock === undefined || lock.failedOpen) return [path, flags, mode, options];
  lock.verify();
  return [path, flags, mode, { ...options, lock: idOf(lock) }];
}

function commitSync(request: ReplaceRequest, bytes: Uint8Array): ReplaceResult {
  const retries = new Retries(request.retry ?? syncRetry);
  const steps = everyStep | retries.flags;
  let outcome = native.replaceSync(...replaceArguments(request), steps, bytes);
  if (!isReplaceFailure(outcome) || outcome.id === undefined) {
    return toResult(request, outcome, retries);
  }
  const { id } = outcome;
  try {
    while (isReplaceFailure(outcome) && outcome.transient && !retries.exhausted) {
      retries.waitSync();
      verifyBeforeWrite(request.lock);
      outcome = native.replaceStepsSync(id, everyStep | retries.flags, bytes);
    }
    return toResult(request, outcome, retries);
  } finally {
    native.closeReplacement(id);
  }
}

/** Where the lock and the file of a compare-and-swap are found: where the replace finds them. */
function placeOptions(request: ReplaceRequest) {
  return { parents: refusesParentLinks(request) ? 'refuse-links' : 'trust' } as const;
}

function readOptions(request: ReplaceRequest): ReadOptions {
  const journalDir = request.native?.journalDir;
  return { ...placeOptions(request), journalDir, maxBytes: 2 ** 31 - 1 };
}

/** Compares, and lets the addon compare the identity once more just before it publishes. */
function expectMatch(
  request: ReplaceRequest,
  expected: ExpectedFile,
  current: { contents: Buffer; identity: FileIdentity } | null,
): void {
  request.native = { ...request.native, expected: current?.identity ?? absent };
  const matches =
    expected === null || current === null
      ? expected === current
      : 'identity' in expected
        ? expected.identity === current.identity
        : expected.sha256 === sha256Hex(current.contents);
  if (!matches) throw conflict(request);
}

function conflict(request: ReplaceRequest): Error {
  const { path } = request;
  const error = new HoldfastError('ECONFLICT', `the file is not the expected one, '${path}'`, {
    path,
  });
  return withFailure(error, { phase: 'publish', published: false, targetState: 'old' });
}

function withFailure(error: Error, failure: ReplaceFailure): Error {
  return Object.assign(error, failure);
}

function toResult(
  request: ReplaceRequest,
  outcome: NativeReplaceOutcome,
  retries?: Retries,
): ReplaceResult {
  if (isReplaceFailure(outcome)) {
    if (outcome.cancelled) throw request.signal?.reason as Error;
    if (outcome.conflict) throw conflict(request);
    const { phase, published } = outcome;
    if (outcome.lost && request.lock) {
      const { path } = request;
      const message = `the lock was lost, and nothing was written, '${path}'`;
      const error = new HoldfastError('ECOMPROMISED', message, {
        path,
        cause: lossOf(request.lock),
      });
      throw withFailure(error, { phase, published, targetState: 'old' });
    }
    const targetState = targetStates[outcome.targetState] ?? 'unknown';
    throw withFailure(toError(outcome.error), { phase, published, targetState });
  }
  const result = toReplaceResult(outcome, retries);
  publishFallback(request, result, outcome[2]);
  return result;
}

/** Tells that the file could not be renamed into place, unless that was not wanted either. */
function publishFallback(
  request: ReplaceRequest,
  { method, attempts }: ReplaceResult,
  reason: NativeError | undefined,
): void {
  if (method === 'rename' || alwaysCopies(request)) return;
  const { path } = request;
  const { code } = (reason === undefined ? {} : toError(reason)) as NodeJS.ErrnoException;
  const known = code === undefined ? {} : { code };
  publish('replace_fallback', { path, method, attempts, ...known });
}

function toReplaceResult(
  [flags, identity]: NativeReplaceResult,
  retries: Retries | undefined,
): ReplaceResult {
  return {
    method: methods[flags & replaceMethodMask] ?? 'rename',
    attempts: retries?.attempts ?? 1,
    waitedMs: retries?.waitedMs ?? 0,
    durable: (flags & ReplaceResultFlag.durable) !== 0,
    kept: keepNames.filter((_name, index) => (flags & (ReplaceResultFlag.keptMode << index)) !== 0),
    identity,
    superseded: (flags & ReplaceResultFlag.superseded) !== 0,
  };
}
