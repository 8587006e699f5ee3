/**
 * The four ways to take a lock, as the verbs use them: told to whoever listens, and, where the caller asked for that, gone
 * on without the lock when it cannot be had.
 */
import {
  acquire as tryToAcquire,
  acquireSync as tryToAcquireSync,
  tryAcquire as tryOnce,
  tryAcquireSync as tryOnceSync,
} from './acquire.js';
import { HoldfastError } from './errors.js';
import { channels, publish, type FailOpenReason, type LockTrace } from './events.js';
import { FileLock } from './file-lock.js';
import { RequestFlag } from './native.js';
import { lockPathOf, type LockRequest, type WaitInfo } from './options.js';

export function acquire(
  request: LockRequest,
  beforeQueueing?: (key: string) => void,
): Promise<FileLock> {
  return taken(request, (asked) => tryToAcquire(asked, beforeQueueing));
}

export function tryAcquire(request: LockRequest): Promise<FileLock | null> {
  return taken(request, tryOnce);
}

export function acquireSync(request: LockRequest): FileLock {
  return takenSync(request, tryToAcquireSync);
}

export function tryAcquireSync(request: LockRequest): FileLock | null {
  return takenSync(request, tryOnceSync);
}

type Take<Taken> = (request: LockRequest) => Taken;

function taken<Taken extends FileLock | null>(
  request: LockRequest,
  take: Take<Promise<Taken>>,
): Promise<Taken | FileLock> {
  const attempt = request.failOpen ? orFailOpen(request, take) : take;
  return channels.lock.hasSubscribers ? traced(request, attempt) : attempt(request);
}

function takenSync<Taken extends FileLock | null>(
  request: LockRequest,
  take: Take<Taken>,
): Taken | FileLock {
  const attempt = request.failOpen ? orFailOpenSync(request, take) : take;
  return channels.lock.hasSubscribers ? tracedSync(request, attempt) : attempt(request);
}

// ---- Tracing ----

async function traced<Taken extends FileLock | null>(
  request: LockRequest,
  take: Take<Promise<Taken>>,
): Promise<Taken> {
  const trace = new Trace(request);
  let lock!: Taken;
  await channels.lock.tracePromise(async () => {
    try {
      lock = await take(request);
    } finally {
      trace.end(lock);
    }
    // What is resolved with here would be kept, and shown, by the trace: a lock that somebody may have dropped.
  }, trace.context);
  return lock;
}

function tracedSync<Taken extends FileLock | null>(request: LockRequest, take: Take<Taken>): Taken {
  const trace = new Trace(request);
  let lock!: Taken;
  channels.lock.traceSync(() => {
    try {
      lock = take(request);
    } finally {
      trace.end(lock);
    }
  }, trace.context);
  return lock;
}

class Trace {
  readonly context: LockTrace;
  readonly #startedAt = performance.now();

  constructor(request: LockRequest) {
    const { target, flags } = request;
    const shared = (flags & RequestFlag.shared) !== 0;
    this.context = { target, lockPath: lockPathOf(request), shared };
  }

  /** `lock` is undefined where taking it failed. */
  end(lock: FileLock | null | undefined): void {
    const { context } = this;
    context.waitedMs = performance.now() - this.#startedAt;
    if (!lock) return;
    context.token = lock.token;
    context.lockPath = lock.lockPath;
    if (lock.failedOpen) context.failedOpen = true;
  }
}

// ---- Fail-open ----

function orFailOpen<Taken>(
  original: LockRequest,
  take: Take<Promise<Taken>>,
): Take<Promise<Taken | FileLock>> {
  return async () => {
    const call = new TolerantCall(original);
    try {
      return await take(call.request);
    } catch (error) {
      return call.failOpen(error);
    }
  };
}

function orFailOpenSync<Taken>(original: LockRequest, take: Take<Taken>): Take<Taken | FileLock> {
  return () => {
    const call = new TolerantCall(original);
    try {
      return take(call.request);
    } catch (error) {
      return call.failOpen(error);
    }
  };
}

/** One call with `failOpen`: it tells failures of the lock from what the caller itself has thrown. */
class TolerantCall {
  readonly request: LockRequest;
  readonly #signal: AbortSignal | undefined;
  #thrown: unknown = noError;

  constructor(original: LockRequest) {
    const { onWait, signal } = original;
    this.#signal = signal;
    this.request =
      onWait === undefined
        ? original
        : {
            ...original,
            onWait: (wait: WaitInfo): void => {
              try {
                onWait(wait);
              } catch (error) {
                this.#thrown = error;
                throw error;
              }
            },
          };
  }

  failOpen(error: unknown): FileLock {
    if (error === this.#thrown || this.#signal?.aborted) throw error;
    return goOnWithoutLock(this.request, error);
  }
}

/** A lock in name only, once it has been told that there is none; throws `error` if that is no reason to go on. */
export function goOnWithoutLock(request: LockRequest, error: unknown): FileLock {
  const lockPath = lockPathOf(request);
  const reason = failOpenReason(error, lockPath);
  if (reason === null) throw error;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  publish('lock_fail_open', {
    target: request.target,
    lockPath,
    reason,
    code: String(code),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
  });
  return FileLock.inNameOnly(request);
}

/** What no error is equal to. */
const noError = Symbol('noError');

const unsupportedCodes = new Set(['ENOLCK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);
/** The disk, the machine it is in, or what this process may use of it. */
const diskCodes = new Set([
  ...['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EBUSY'],
  ...['ESTALE', 'EFBIG', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNRESET'],
]);
const deniedCodes = new Set(['EACCES', 'EPERM']);

/** Why a caller may go on without the lock after `error`, or null if nothing allows that. */
function failOpenReason(error: unknown, lockPath: string): FailOpenReason | null {
  // Refusals, EDEADLK and the like are answers, not failures.
  if (error instanceof HoldfastError) return error.code === 'ETIMEDOUT' ? 'timeout' : null;
  if (!(error instanceof Error)) return null;
  const { code = '', path } = error as NodeJS.ErrnoException;
  if (unsupportedCodes.has(code)) return 'unsupported';
  if (diskCodes.has(code)) return 'disk';
  // Of the lock file itself only that it may not be made: one that is there and may not be opened is a refusal.
  return deniedCodes.has(code) && path === lockPath ? 'disk' : null;
}
