/** A call that waits for its turn in a round, and is told what came of it. */
import { AsyncResource } from 'node:async_hooks';
import { types } from 'node:util';
import { whenAborted } from './abort.js';
import { startDeadline, type Deadline } from './deadline.js';
import type { Nesting } from './nesting.js';
import type { WaitInfo } from './options.js';

/** What each call of a round has of its own. */
export interface CallerOptions {
  signal: AbortSignal | undefined;
  onWait: ((wait: WaitInfo) => void) | undefined;
  /** The callbacks around the call that hold a lock. */
  nesting: Nesting;
}

interface CallOptions extends CallerOptions {
  timeout: number;
  onTimeout: () => void;
  /** Told once, when the call has failed or succeeded. */
  onSettled: () => void;
}

/** One call, which keeps its caller's asynchronous context. */
export class Call<Change, Result> extends AsyncResource {
  readonly change: Change;
  readonly promise: Promise<Result>;
  readonly nesting: Nesting;
  readonly #signal: AbortSignal | undefined;
  readonly #onWait: CallerOptions['onWait'];
  readonly #startedAt = performance.now();
  readonly #timer: Deadline;
  readonly #onSettled: () => void;
  /** Whether it is the group's to serve. */
  present = true;
  #settled = false;
  #resolve!: (result: Result) => void;
  #reject!: (error: unknown) => void;
  readonly #stopListening: () => void;

  constructor(change: Change, options: CallOptions) {
    super('HoldfastUpdate');
    this.change = change;
    const { signal } = options;
    this.#signal = signal;
    this.nesting = options.nesting;
    this.#onWait = options.onWait;
    this.#onSettled = options.onSettled;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#stopListening = whenAborted(signal, () => {
      this.fail(signal?.reason);
    });
    this.#timer = startDeadline(options.timeout, options.onTimeout);
  }

  /** Whether the call has neither failed nor succeeded yet. */
  isPending(): boolean {
    return !this.#settled;
  }

  /** Tells the caller's `onWait`, if there is one. An `onWait` that throws ends this call, and no other, with its error. */
  reportWait(wait: WaitInfo): void {
    const onWait = this.#onWait;
    if (onWait === undefined || this.#settled) return;
    const { holder } = wait;
    const waitedMs = performance.now() - this.#startedAt;
    try {
      this.runInAsyncScope(onWait, undefined, {
        ...wait,
        waitedMs,
        holder: holder && { ...holder },
      });
    } catch (error) {
      // Settled: `onWait` may have aborted the call before it threw.
      if (this.isPending()) this.fail(error);
    }
  }

  /** Its turn has come: there is no timeout any more. */
  async run<State>(apply: (change: Change) => State | Promise<State>): Promise<State> {
    this.#timer.stop();
    return this.runInAsyncScope(apply, undefined, this.change);
  }

  /** From here on it is too late for an abort: the change is part of the commit, or has failed. */
  enterCommit(): void {
    this.#stopListening();
  }

  /** After a conflict nothing of it is in the file, so that an abort counts once more. */
  failIfAborted(): boolean {
    if (this.#signal?.aborted) this.fail(this.#signal.reason);
    return this.#settled;
  }

  succeed(result: Result): void {
    this.#settle();
    this.#resolve(result);
  }

  fail(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#timer.stop();
    this.enterCommit();
    this.#onSettled();
  }
}

/** Fails calls with one error, of which each gets an object of its own: what one caller adds to it is nothing to the others. */
export function failEach<Change, Result>(
  calls: readonly Call<Change, Result>[],
  error: unknown,
): void {
  let own = error;
  for (const call of calls) {
    if (!call.isPending()) continue;
    call.fail(own);
    own = copyOfError(error);
  }
}

/** An error that differs from `error` in nothing but its identity. What is no error is returned as it is. */
export function copyOfError(error: unknown): unknown {
  if (!types.isNativeError(error)) return error;
  const copy = new Error(error.message, 'cause' in error ? { cause: error.cause } : undefined);
  Object.setPrototypeOf(copy, Object.getPrototypeOf(error) as object);
  Object.assign(copy, error);
  if (error.stack !== undefined) copy.stack = error.stack;
  return copy;
}
