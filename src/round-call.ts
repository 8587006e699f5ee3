/** A call that waits for its turn in a round, and is told what came of it. */
import { AsyncResource } from 'node:async_hooks';
import { startDeadline, type Deadline } from './deadline.js';

interface CallOptions {
  timeout: number;
  onTimeout: () => void;
  /** Told once, when the call has failed or succeeded. */
  onSettled: () => void;
}

/** One call, which keeps its caller's asynchronous context. */
export class Call<Change, Result> extends AsyncResource {
  readonly change: Change;
  readonly promise: Promise<Result>;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Deadline;
  readonly #onSettled: () => void;
  /** Whether it is the group's to serve. */
  present = true;
  #settled = false;
  #resolve!: (result: Result) => void;
  #reject!: (error: unknown) => void;
  readonly #onAbort = (): void => {
    this.fail(this.#signal?.reason);
  };

  constructor(change: Change, signal: AbortSignal | undefined, options: CallOptions) {
    super('HoldfastUpdate');
    this.change = change;
    this.#signal = signal;
    this.#onSettled = options.onSettled;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#timer = startDeadline(options.timeout, options.onTimeout);
  }

  /** Whether the call has neither failed nor succeeded yet. */
  isPending(): boolean {
    return !this.#settled;
  }

  /** Its turn has come: there is no timeout any more. */
  async run<State>(apply: (change: Change) => State | Promise<State>): Promise<State> {
    this.#timer.stop();
    return this.runInAsyncScope(apply, undefined, this.change);
  }

  /** From here on it is too late for an abort: the change is part of the commit, or has failed. */
  enterCommit(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
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
