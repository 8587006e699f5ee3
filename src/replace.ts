/** Atomic replace: readers see the old contents or the new, whatever happens on the way. */
import { whenAborted } from './abort.js';
import { GivenBytes, isStream, type Data, type DataStream } from './bytes.js';
import { ChunkSource } from './chunks.js';
import { HoldfastError, toError } from './errors.js';
import { publish } from './events.js';
import { countWrites, idOf, lossOf, verifyBeforeWrite } from './file-lock.js';
import { followLinks, followLinksSync } from './links.js';
import { changeUnderLock, changeUnderLockSync } from './lock.js';
import {
  isReplaceFailure,
  native,
  ReplaceFlag,
  replaceMethodMask,
  ReplaceResultFlag,
  ReplaceStep,
  type NativeError,
  type NativeReplaceOutcome,
  type NativeReplaceResult,
  type ReplaceArguments,
  type StepArguments,
} from './native.js';
import { checkArgumentCount } from './option-checks.js';
import type { LockSyncOptions } from './options.js';
import { CannotFinish, make, PendingReplace, type Step, type Steps } from './pending-replace.js';
import { readRegularFile, readRegularFileSync } from './read-file.js';
import {
  alwaysCopies,
  toReplaceRequest,
  type ExpectedFile,
  type FileIdentity,
  type ReadOptions,
  type ReplaceOptions,
  type ReplaceRequest,
  type ReplaceSyncOptions,
} from './replace-options.js';
import { finishEarlier } from './replace-order.js';
import { Retries } from './retries.js';
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
  /**
   * Whether another file was already in its place when the call returned. So it is, with an empty `identity`, for a stream
   * that had not ended when `replaceFileSync` was called for the same file: it is not published any more.
   */
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
/** Bytes that are copied at once for other threads to write. */
const pieceSize = 1024 * 1024;
/** Longer files have no contents to compare with. */
const longestHashed = 2 ** 31 - 1;
const everyStep = ReplaceStep.begin | ReplaceStep.write | ReplaceStep.commit;

/**
 * Gives the file `path` new contents: all of them, or none.
 *
 * The contents go to a temporary file beside the target, which then takes its place in one step. Where that cannot be
 * done (`copyFallback`), they are copied into the target under an undo file. Whatever fails, the old contents and mode stay,
 * and nothing is left behind; the error says so (`phase`, `published`, `targetState`).
 *
 * The calls of one thread for one file, however its path is spelled, publish in the order in which they were made; each
 * waits for those before it, also for a stream. Calls for different files do not wait for each other. `replaceFileSync`
 * completes the pending ones first.
 *
 * The bytes of a Buffer must not be changed before the promise is settled. A TypeError, and no change to the file, is the
 * result when its memory is transferred or resized meanwhile, or was before. Shared memory is copied when the call is made.
 * A stream is written as it comes, in bounded memory. A TypeError is one that was read to its end before, that is flowing, or
 * that was handed to a replace before; one that ends early, or whose chunks wait for another replace of the same file
 * (EDEADLK), fails. In all cases the old file stays.
 *
 * Rejects with the system's error (ENOSPC, EACCES, ENOENT, …), with a refusal (ELOOP, EMLINK, EISDIR, EINVAL, EPERM,
 * EXDEV), with ECONFLICT (`ifMatch`) or ETIMEDOUT (its lock), ECOMPROMISED (`lock`), the stream's error, or `signal.reason`.
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
  if (typeof data === 'string' || !isStream(data)) return replace(request, new GivenBytes(data));
  const chunks = new ChunkSource(data, request.signal);
  try {
    return await replace(request, chunks);
  } finally {
    chunks.close();
  }
}

/**
 * As {@link replaceFile}, on this thread; without streams. Pending calls of `replaceFile` for the same file are completed
 * first, so that what this call wrote stays. One whose stream has not ended cannot be: it resolves as `superseded`, or, with
 * `createOnly` or `ifMatch`, compares with what this call has written.
 */
export function replaceFileSync(
  path: string | URL,
  data: Data,
  options?: ReplaceSyncOptions,
): ReplaceResult {
  checkArgumentCount('replaceFileSync', arguments.length, 3);
  return replaceSync(toReplaceRequest('replaceFileSync', path, options), new GivenBytes(data));
}

/** A checked replace on this thread, also of `updateFileSync`. */
export function replaceSync(request: ReplaceRequest, data: GivenBytes): ReplaceResult {
  if (!needsLock(request)) return commitSync(request, data);
  const path = request.follow ? followSync(request) : request.path;
  return changeUnderLockSync(path, lockOptions(request), (lock) =>
    commitSync({ ...request, path, follow: false, lock }, data),
  );
}

/** A checked replace; {@link replaceFile} and `updateFile` come together here. */
export async function replace(
  request: ReplaceRequest,
  data: GivenBytes | ChunkSource,
): Promise<ReplaceResult> {
  const { signal } = request;
  signal?.throwIfAborted();
  if (!needsLock(request)) return inOrder(request, data);
  const path = request.follow ? await follow(request) : request.path;
  // The order begins when the lock is had, so that nobody who has it waits for one who waits for it.
  return changeUnderLock(path, { ...lockOptions(request), signal }, (lock) =>
    inOrder({ ...request, path, follow: false, lock }, data),
  );
}

const needsLock = ({ ifMatch, lock }: ReplaceRequest): boolean =>
  ifMatch !== undefined && lock === undefined;

/** The lock of a compare-and-swap, which is found where the file is. */
function lockOptions(request: ReplaceRequest): LockSyncOptions {
  return { ...placeOptions(request), timeout: request.timeout };
}

function placeOptions({ refuseParentLinks, flags, native: given }: ReplaceRequest) {
  return {
    within: given?.within,
    parents: refuseParentLinks ? 'refuse-links' : 'trust',
    owners: (flags & ReplaceFlag.anyOwner) === 0 ? 'trusted' : 'any',
  } as const;
}

const follow = ({ path, refuseParentLinks }: ReplaceRequest): Promise<string> =>
  followLinks(path, refuseParentLinks);
const followSync = ({ path, refuseParentLinks }: ReplaceRequest): string =>
  followLinksSync(path, refuseParentLinks);

/** What becomes of a replace whose stream had not ended when a synchronous one overtook it. */
const overtaken: ReplaceResult = {
  ...{ method: 'rename', attempts: 0, waitedMs: 0, durable: false, kept: [], identity: absent },
  superseded: true,
};

function inOrder(request: ReplaceRequest, data: GivenBytes | ChunkSource): Promise<ReplaceResult> {
  // One that is to find something in its place finds what overtook it.
  const conditional =
    request.native?.expected !== undefined ||
    request.ifMatch !== undefined ||
    (request.flags & ReplaceFlag.createOnly) !== 0;
  const result = conditional ? null : { ...overtaken, kept: [] };
  return new PendingReplace(request, replaceSteps(request, data), result).run();
}

function* replaceSteps(
  given: ReplaceRequest,
  data: GivenBytes | ChunkSource,
): Steps<ReplaceResult> {
  const { signal } = given;
  let request = given;
  if (given.follow) {
    const step = { start: () => follow(given), finish: () => followSync(given) };
    request = { ...given, path: yield* make(signal, step), follow: false };
  }
  const { ifMatch } = request;
  if (isHash(ifMatch)) {
    const options = readOptions(request);
    const current = yield* make(signal, {
      start: () => readRegularFile(request.path, options),
      finish: () => readRegularFileSync(request.path, options),
    });
    request = expecting(request, matching(request, ifMatch, current));
  } else if (ifMatch !== undefined) {
    request = expecting(request, ifMatch?.identity ?? null);
  }
  signal?.throwIfAborted();
  const { lock } = request;
  const id = native.openReplacement(...replaceArguments(request));
  if (lock !== undefined) countWrites(lock, 1);
  const stopListening = whenAborted(signal, () => {
    native.cancelReplacement(id);
  });
  try {
    if (data instanceof GivenBytes) return yield* writeAtOnce(request, id, data);
    return yield* writeStream(request, id, data);
  } finally {
    stopListening();
    if (lock !== undefined) countWrites(lock, -1);
    native.closeReplacement(id);
  }
}

function* writeAtOnce(request: ReplaceRequest, id: number, data: GivenBytes): Steps<ReplaceResult> {
  if (data.size <= pieceSize) {
    return yield* untilSettled(request, (flags) => [id, everyStep | flags, data.bytes]);
  }
  const begin = ReplaceStep.begin;
  yield* untilSettled(request, (flags) => [id, begin | flags, undefined, data.size]);
  yield* writePieces(request, id, data);
  verifyBeforeWrite(request.lock);
  return yield* untilSettled(request, (flags) => [id, ReplaceStep.commit | flags]);
}

function* writeStream(
  request: ReplaceRequest,
  id: number,
  chunks: ChunkSource,
): Steps<ReplaceResult> {
  yield* untilSettled(request, (flags) => [id, ReplaceStep.begin | flags]);
  const nextChunk: Step<Data | undefined> = {
    readsStream: true,
    start: () => chunks.next(),
    finish: () => {
      throw new CannotFinish();
    },
  };
  for (;;) {
    const chunk = yield* make(request.signal, nextChunk);
    if (chunk === undefined) break;
    yield* writePieces(request, id, new GivenBytes(chunk, 'each chunk of data'));
  }
  verifyBeforeWrite(request.lock);
  return yield* untilSettled(request, (flags) => [id, ReplaceStep.commit | flags]);
}

/** Piece by piece, since the addon copies what other threads are to write. */
function* writePieces(request: ReplaceRequest, id: number, data: GivenBytes): Steps<void> {
  for (let at = 0; at < data.size; at += pieceSize) {
    const piece = data.bytes.subarray(at, at + pieceSize);
    const step = nativeStep([id, ReplaceStep.write, piece]);
    toResult(request, yield* make(request.signal, step));
  }
}

/** Tries steps again while it is only an open file, or a copy under way, that is in their way. */
function* untilSettled(
  request: ReplaceRequest,
  argumentsOf: (flags: number) => StepArguments,
): Steps<ReplaceResult> {
  const { signal } = request;
  const retries = new Retries(request.retry ?? asyncRetry);
  let outcome = yield* make(signal, nativeStep(argumentsOf(retries.flags)));
  while (isReplaceFailure(outcome) && outcome.transient && !retries.exhausted) {
    yield* make(signal, {
      start: () => retries.wait(signal),
      finish: () => {
        retries.giveUp();
      },
    });
    verifyBeforeWrite(request.lock);
    outcome = yield* make(signal, nativeStep(argumentsOf(retries.flags)));
  }
  return toResult(request, outcome, retries);
}

function nativeStep(args: StepArguments): Step<NativeReplaceOutcome> {
  let started = false;
  return {
    start: () => {
      started = true;
      return native.replaceSteps(...args);
    },
    finish: () => {
      const outcome = started ? native.finishSteps(args[0]) : undefined;
      return outcome ?? native.replaceStepsSync(...args);
    },
  };
}

/** With a lock that is held; at the commit the addon makes sure once more. */
function replaceArguments(request: ReplaceRequest): ReplaceArguments {
  const { path, flags, mode, lock, native: options } = request;
  // Who went on without a lock has none to lose.
  if (lock === undefined || lock.failedOpen) return [path, flags, mode, options];
  lock.verify();
  return [path, flags, mode, { ...options, lock: idOf(lock) }];
}

function commitSync(given: ReplaceRequest, data: GivenBytes): ReplaceResult {
  finishEarlier(given);
  let request = given;
  if (given.follow) request = { ...given, path: followSync(given), follow: false };
  const { ifMatch } = request;
  if (isHash(ifMatch)) {
    const current = readRegularFileSync(request.path, readOptions(request));
    request = expecting(request, matching(request, ifMatch, current));
  } else if (ifMatch !== undefined) {
    request = expecting(request, ifMatch?.identity ?? null);
  }
  const retries = new Retries(request.retry ?? syncRetry);
  const steps = everyStep | retries.flags;
  let outcome = native.replaceSync(...replaceArguments(request), steps, data.bytes);
  if (!isReplaceFailure(outcome) || outcome.id === undefined) {
    return toResult(request, outcome, retries);
  }
  const { id } = outcome;
  try {
    while (isReplaceFailure(outcome) && outcome.transient && !retries.exhausted) {
      retries.waitSync();
      verifyBeforeWrite(request.lock);
      outcome = native.replaceStepsSync(id, everyStep | retries.flags, data.bytes);
    }
    return toResult(request, outcome, retries);
  } finally {
    native.closeReplacement(id);
  }
}

function readOptions(request: ReplaceRequest): ReadOptions {
  const journalDir = request.native?.journalDir;
  return { ...placeOptions(request), journalDir, maxBytes: longestHashed };
}

const isHash = (expected: ExpectedFile | undefined): expected is { sha256: string } =>
  typeof expected === 'object' && expected !== null && 'sha256' in expected;

/** The addon compares before it begins, and once more just before it publishes. */
function expecting(request: ReplaceRequest, identity: FileIdentity | null): ReplaceRequest {
  // Text that is no identity is that of no file, not of an absent one.
  if (identity !== null && !anIdentity.test(identity)) throw conflict(request);
  return { ...request, native: { ...request.native, expected: identity ?? absent } };
}

/** As the addon writes it; not all zeros, which would stand for an absent file. */
const anIdentity = /^(?!0+(?::0+){5}$)\d{1,20}(?::\d{1,20}){5}$/;

/** The identity of the file that has the expected contents. */
function matching(
  request: ReplaceRequest,
  { sha256 }: { sha256: string },
  current: { contents: Buffer; identity: FileIdentity } | null,
): FileIdentity {
  if (current === null || sha256Hex(current.contents) !== sha256) throw conflict(request);
  return current.identity;
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
      const message = `the lock was lost or released before the file was published, and nothing was written, '${path}'`;
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
