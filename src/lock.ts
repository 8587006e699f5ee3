/** The lock context: the verbs that take a lock. */
import { verifyNotLost, type FileLock } from './file-lock.js';
import { acquireNested, currentNesting, runNested } from './nesting.js';
import {
  toRequest,
  type LockOptions,
  type LockRequest,
  type LockSyncOptions,
  type TryLockOptions,
  type TtlOption,
  type WithLockOptions,
} from './options.js';
import { checkArgumentCount } from './option-checks.js';
import { acquire, acquireSync, tryAcquire, tryAcquireSync } from './taking.js';

/**
 * Waits for the lock on `target`, which may be a file, a directory or nothing yet.
 *
 * The kernel wakes the caller; callers of one thread are served in the order in which they came. A pending wait keeps
 * the process alive. The parent directory must exist.
 *
 * Rejects with `HoldfastError` ETIMEDOUT (with `holder`) when `timeout` has passed; with `signal.reason` on abort; with
 * a refusal (`refused: true`) ELOOP, EMLINK, EINVAL, EPERM, EACCES or ECORRUPT when the lock file cannot be trusted; with
 * an error like Node's own when the system fails (ENOENT, EACCES, EROFS, ENOSPC, EMFILE, ENOLCK, …); with a TypeError
 * or RangeError when an argument is wrong.
 *
 * On Linux and macOS the lock is `flock(2)` on the lock file, on Windows `LockFileEx` on one byte of it. On Linux the kernel
 * serves processes in the order in which they came; macOS and Windows promise none. On network file systems, on those of
 * unknown kind and under Wine a wait is tried on a timer instead, every 50 ms at the slowest.
 *
 * Not promised: that programs which do not ask for the lock keep away from the target; that a deadlock between processes, or
 * over several locks, is noticed.
 *
 * @see [flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html), on what a lock belongs to and when it ends
 * @see [LockFileEx](https://learn.microsoft.com/en-us/windows/win32/api/fileapi/nf-fileapi-lockfileex), on Windows
 * @see [What a lock means](../docs/semantics.md)
 */
export async function lock(target: string | URL, options?: LockOptions): Promise<FileLock> {
  checkArgumentCount('lock', arguments.length, 2);
  return acquire(toRequest('lock', target, options));
}

/**
 * Takes the lock on `target` if nobody holds it; null when somebody does. Errors are as for {@link lock}. May overtake
 * callers that wait.
 */
export async function tryLock(
  target: string | URL,
  options?: TryLockOptions & TtlOption,
): Promise<FileLock | null> {
  checkArgumentCount('tryLock', arguments.length, 2);
  return tryAcquire(toRequest('tryLock', target, options));
}

/**
 * Blocks this thread until the lock on `target` is granted; throws what {@link lock} rejects with. Throws EDEADLK at
 * once when this thread itself holds a conflicting lock, since nothing could release it. May overtake callers that wait.
 *
 * A worker that is blocked in it can be terminated; the main thread cannot be interrupted but by `timeout`.
 */
export function lockSync(target: string | URL, options?: LockSyncOptions): FileLock {
  checkArgumentCount('lockSync', arguments.length, 2);
  return acquireSync(toRequest('lockSync', target, options));
}

/** As {@link tryLock}, on this thread. */
export function tryLockSync(target: string | URL, options?: TryLockOptions): FileLock | null {
  checkArgumentCount('tryLockSync', arguments.length, 2);
  return tryAcquireSync(toRequest('tryLockSync', target, options));
}

export type LockedFunction<Result> = (lock: FileLock) => Result;

/**
 * Runs `fn` while holding the lock on `target`, and releases the lock whatever `fn` does. Resolves with what `fn`
 * returned, rejects with what it threw.
 *
 * Besides what {@link lock} rejects with: ECOMPROMISED, whatever `fn` returned, when the lock was lost meanwhile; EDEADLK
 * when it would wait for a `withLock` around it on the same target (see `nested`).
 */
export async function withLock<Result>(
  target: string | URL,
  fn: LockedFunction<Result | PromiseLike<Result>>,
): Promise<Result>;
export async function withLock<Result>(
  target: string | URL,
  options: WithLockOptions | undefined,
  fn: LockedFunction<Result | PromiseLike<Result>>,
): Promise<Result>;
export async function withLock<Result>(
  target: string | URL,
  optionsOrFunction: unknown,
  maybeFunction?: unknown,
): Promise<Result> {
  const { options, fn } = splitArguments(
    'withLock',
    optionsOrFunction,
    maybeFunction,
    arguments.length,
  );
  const { held, returned } = await runUnderLock(toRequest('withLock', target, options), fn);
  try {
    await verifyNotLost(held);
  } finally {
    await held.release();
  }
  return returned as Result;
}

/**
 * As {@link withLock}, for a change of ours that is made, or not, by the time `change` returns: it stands whatever becomes of
 * the lock afterwards, and whoever is told otherwise would make it again. A release that fails is a warning.
 */
export async function changeUnderLock<Result>(
  target: string,
  options: WithLockOptions,
  change: LockedFunction<Promise<Result>>,
): Promise<Result> {
  const { held, returned } = await runUnderLock(toRequest('withLock', target, options), change);
  await releaseOrWarn(held);
  return returned;
}

/** Hands back the lock as well, unless `fn` throws. */
async function runUnderLock<Result>(
  request: LockRequest,
  fn: LockedFunction<Result | PromiseLike<Result>>,
): Promise<{ held: FileLock; returned: Awaited<Result> }> {
  const held = await acquireNested(
    request,
    request.nested === 'wait' ? undefined : currentNesting(),
  );
  try {
    return { held, returned: await runNested(held, () => fn(held)) };
  } catch (error) {
    await releaseOrWarn(held);
    throw error;
  }
}

/**
 * As {@link withLock}, on this thread. `fn` must not be asynchronous: the lock would be gone before its work is done, so
 * a function that returns a promise is a TypeError (its promise is left alone).
 */
export function withLockSync<Result>(target: string | URL, fn: LockedFunction<Result>): Result;
export function withLockSync<Result>(
  target: string | URL,
  options: LockSyncOptions | undefined,
  fn: LockedFunction<Result>,
): Result;
export function withLockSync<Result>(
  target: string | URL,
  optionsOrFunction: unknown,
  maybeFunction?: unknown,
): Result {
  const { options, fn } = splitArguments(
    'withLockSync',
    optionsOrFunction,
    maybeFunction,
    arguments.length,
  );
  const held = acquireSync(toRequest('withLockSync', target, options));
  let returned: Result;
  try {
    returned = fn(held) as Result;
    if (isThenable(returned)) {
      throw new TypeError(
        'fn must not return a promise: withLockSync releases the lock before it settles; use withLock',
      );
    }
  } catch (error) {
    releaseSyncOrWarn(held);
    throw error;
  }
  try {
    // Releasing it early is the function's right; losing it is not.
    if (held.lost) held.verify();
  } finally {
    held.releaseSync();
  }
  return returned;
}

/** As {@link changeUnderLock}, on this thread. */
export function changeUnderLockSync<Result>(
  target: string,
  options: LockSyncOptions,
  change: LockedFunction<Result>,
): Result {
  const held = acquireSync(toRequest('withLockSync', target, options));
  try {
    return change(held);
  } finally {
    releaseSyncOrWarn(held);
  }
}

function splitArguments(
  form: string,
  optionsOrFunction: unknown,
  maybeFunction: unknown,
  count: number,
): { options: unknown; fn: LockedFunction<unknown> } {
  checkArgumentCount(form, count, 3);
  const first = typeof optionsOrFunction === 'function';
  if (first && maybeFunction !== undefined) {
    throw new TypeError(`fn of ${form} must be the last argument, with the options before it`);
  }
  const fn = first ? optionsOrFunction : maybeFunction;
  if (typeof fn !== 'function') {
    throw new TypeError(
      `fn of ${form} must be a function, got ${fn === null ? 'null' : typeof fn}`,
    );
  }
  return {
    options: first ? undefined : optionsOrFunction,
    fn: fn as LockedFunction<unknown>,
  };
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}

/**
 * Releases for a caller who is to be told something else: the error of its own function, or that its change is made. A
 * release that fails gives the lock up all the same, and must not be lost.
 */
export async function releaseOrWarn(held: FileLock): Promise<void> {
  await held.release().catch(warnOfRelease);
}

/** As {@link releaseOrWarn}, on this thread. */
export function releaseSyncOrWarn(held: FileLock): void {
  try {
    held.releaseSync();
  } catch (error) {
    warnOfRelease(error);
  }
}

function warnOfRelease(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
