import { whenAborted } from './abort.js';
import { startDeadline, type Deadline } from './deadline.js';
import { HoldfastError } from './errors.js';
import { channels, publish } from './events.js';
import type { FileLock } from './file-lock.js';
import { beginAwaiting, endAwaiting, RequestFlag } from './native.js';
import { lockPathOf, type LockRequest, type WaitInfo } from './options.js';
import { describeHolder, type LockHolder } from './record.js';

/** The place in which a caller waits; it is told when the caller gives up, and asked who is in the way. */
export interface WaitingPlace {
  leave(caller: WaitingCaller): void;
  holder(): LockHolder | null;
}

/** One caller of `lock()` who has to wait: its promise, its timeout and its signal. */
export class WaitingCaller {
  readonly request: LockRequest;
  readonly promise: Promise<FileLock>;
  previous: WaitingCaller | null = null;
  next: WaitingCaller | null = null;

  #place: WaitingPlace | null = null;
  #resolve!: (lock: FileLock) => void;
  #reject!: (reason: unknown) => void;
  #settled = false;
  #reported = false;
  readonly #deadline: Deadline;
  readonly #startedAt = performance.now();
  readonly #stopListening: () => void;

  constructor(request: LockRequest) {
    this.request = request;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    beginAwaiting();
    this.#stopListening = whenAborted(request.signal, () => {
      this.#giveUp(request.signal?.reason);
    });
    this.#deadline = startDeadline(request.timeout, () => {
      this.#giveUp(timeoutError(request, this.#place?.holder() ?? null));
    });
  }

  get shared(): boolean {
    return (this.request.flags & RequestFlag.shared) !== 0;
  }

  get settled(): boolean {
    return this.#settled;
  }

  get waitedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** From now on `place` is told when this caller gives up. */
  enter(place: WaitingPlace): void {
    this.#place = place;
  }

  grant(lock: FileLock): void {
    this.#settle();
    this.#resolve(lock);
  }

  fail(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  /**
   * A signal tells its listeners in turn: when the first of two callers leaves, the second is not told yet, and must not
   * be served.
   */
  failIfAborted(): boolean {
    const { signal } = this.request;
    if (!signal?.aborted) return false;
    this.fail(signal.reason);
    return true;
  }

  /** Whether anybody is to be told that this caller waits, and for whom. */
  get wantsReport(): boolean {
    return (
      this.request.onWait !== undefined || (!this.#reported && channels.contended.hasSubscribers)
    );
  }

  /** Tells `onWait` who is in the way. An `onWait` that throws ends the wait with its error. */
  reportWait(holder: LockHolder | null): void {
    if (this.#settled) return;
    if (!this.#reported) publishContended(this.request, () => holder);
    this.#reported = true;
    try {
      reportWait(this.request, this.waitedMs, holder);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  #giveUp(reason: unknown): void {
    if (this.#settled) return;
    this.fail(reason);
    this.#place?.leave(this);
  }

  #settle(): void {
    this.#settled = true;
    endAwaiting();
    this.#deadline.stop();
    this.#stopListening();
  }
}

export function publishContended(request: LockRequest, holder: () => LockHolder | null): void {
  if (!channels.contended.hasSubscribers) return;
  publish('contended', {
    target: request.target,
    lockPath: lockPathOf(request),
    shared: (request.flags & RequestFlag.shared) !== 0,
    holder: holder(),
  });
}

export function reportWait(
  request: LockRequest,
  waitedMs: number,
  holder: LockHolder | null,
): void {
  request.onWait?.(waitInfo(request, waitedMs, holder));
}

/** What `onWait` is told. */
export function waitInfo(
  request: LockRequest,
  waitedMs: number,
  holder: LockHolder | null,
): WaitInfo {
  const { target } = request;
  return {
    target,
    lockPath: lockPathOf(request),
    waitedMs,
    holder,
    message: `still waiting for the lock on '${target}', held by ${describeHolder(holder)}`,
  };
}

export function timeoutError(request: LockRequest, holder: LockHolder | null): HoldfastError {
  const path = lockPathOf(request);
  return new HoldfastError(
    'ETIMEDOUT',
    `the lock on '${request.target}' was not granted within ${request.timeout} ms; ` +
      `held by ${describeHolder(holder)}`,
    { path, holder },
  );
}
