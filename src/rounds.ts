/** Rounds of lock, read, changes and commit that the calls of one thread share. */
import { AsyncResource } from 'node:async_hooks';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDeadline, type Deadline } from './deadline.js';
import { verifyBeforeWrite, type FileLock } from './file-lock.js';
import { lock } from './lock.js';
import { toRequest, type LockOptions } from './options.js';
import type { LockHolder } from './record.js';
import { sanitizeSessionId } from './sanitize.js';
import { timeoutError } from './waiting-caller.js';

/** A round serves calls for at most so long, so that other processes get their turn. */
const maxRoundMs = 50;
/** A process that the kernel wakes needs a moment, in which we would be faster. */
const pauseMs = 2;

/** What the rounds of one group are about. */
export interface RoundWork<State, Change, Result> {
  /** What is locked for a round. */
  readonly target: string;
  readonly lock: LockOptions;
  /** Milliseconds that a call waits for its turn. */
  readonly timeout: number;
  /** A round serves at most so many calls. */
  readonly maxCalls: number;
  read(): Promise<State>;
  /** The state after `change`, or the same one; must leave `state` itself as it is. Runs in its caller's context. */
  apply(change: Change, state: State): State | Promise<State>;
  /** Makes `after`, which is another state than `before`, the one that `read` finds. */
  commit(after: State, before: State, held: FileLock): Promise<unknown>;
  /** What a call gets: `own` is the state after its change, `after` the one that was committed. */
  toResult(own: State, after: State): Result;
}

interface CallOptions {
  timeout: number;
  toTimeoutError: () => Error;
  /** Told once, when the call has failed or succeeded. */
  onSettled: () => void;
}

/** One call, which keeps its caller's asynchronous context. */
class Call<Change, Result> extends AsyncResource {
  readonly change: Change;
  readonly promise: Promise<Result>;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Deadline;
  readonly #onSettled: () => void;
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
    this.#timer = startDeadline(options.timeout, () => {
      this.fail(options.toTimeoutError());
    });
  }

  /** Whether the call has neither failed nor succeeded yet. */
  isPending(): boolean {
    return !this.#settled;
  }

  async run<State>(work: RoundWork<State, Change, Result>, state: State): Promise<State> {
    this.#timer.stop();
    return this.runInAsyncScope(() => work.apply(this.change, state));
  }

  /** From here on it is too late for an abort: the change is part of the commit. */
  enterCommit(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
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

/** A call whose change is part of the commit, and the state after it. */
interface Applied<State, Change, Result> {
  call: Call<Change, Result>;
  own: State;
}

/** The calls of this thread that share rounds. */
class Group<State, Change, Result> {
  readonly #work: RoundWork<State, Change, Result>;
  readonly #calls: Call<Change, Result>[] = [];
  /** Whether the last round has left calls to the next one. */
  #cutShort = false;
  /** How many calls have neither failed nor succeeded. */
  #pending = 0;
  /** Ends the wait for the lock that is under way. */
  #wait: AbortController | null = null;
  /** Who was last seen in the way. */
  #holder: LockHolder | null = null;

  constructor(work: RoundWork<State, Change, Result>) {
    this.#work = work;
  }

  add(change: Change, signal: AbortSignal | undefined): Promise<Result> {
    const { target, timeout, lock: lockOptions } = this.#work;
    const call = new Call<Change, Result>(change, signal, {
      // One try is the lock's own affair.
      timeout: timeout === 0 ? Infinity : timeout,
      toTimeoutError: () =>
        timeoutError(toRequest('lock', target, { ...lockOptions, timeout }), this.#holder),
      onSettled: () => {
        this.#pending--;
        if (this.#pending === 0) this.#wait?.abort();
      },
    });
    this.#pending++;
    this.#calls.push(call);
    return call.promise;
  }

  /** Serves calls until none is left, and says so before another can be added. */
  async serve(onEmpty: () => void): Promise<void> {
    let pausedAt = performance.now();
    while (this.#dropSettled()) {
      await this.#round();
      // Callers who come back at once would keep other processes out as well.
      if (this.#cutShort || performance.now() - pausedAt > maxRoundMs) {
        await sleep(pauseMs);
        pausedAt = performance.now();
      }
    }
    onEmpty();
  }

  /** Whether anybody is left. */
  #dropSettled(): boolean {
    while (this.#calls[0]?.isPending() === false) this.#calls.shift();
    return this.#calls.length > 0;
  }

  async #round(): Promise<void> {
    this.#cutShort = false;
    const work = this.#work;
    const applied: Applied<State, Change, Result>[] = [];
    try {
      const held = await this.#lock();
      if (held === null) return;
      this.#holder = this.#ourselves(held);
      try {
        const before = await work.read();
        const after = await this.#applyAll(before, applied);
        if (after !== before) await work.commit(after, before, held);
        else verifyBeforeWrite(held);
        for (const { call, own } of applied) call.succeed(work.toResult(own, after));
      } finally {
        await held.release();
      }
    } catch (error) {
      // A commit is for all of its calls, and so is its failure; one before any call was made is for those that wait.
      const failed = applied.length > 0 ? applied.map(({ call }) => call) : this.#calls.splice(0);
      for (const call of failed) if (call.isPending()) call.fail(error);
    }
  }

  /** Who is in the way of those whose turn has not come. */
  #ourselves({ token }: FileLock): LockHolder {
    const { session = '' } = this.#work.lock;
    return {
      pid: process.pid,
      host: hostname(),
      session: session === '' ? null : sanitizeSessionId(session),
      since: new Date(),
      token: token ?? 0,
      self: true,
    };
  }

  /** Waits for the lock as long as somebody here does; null when nobody does any more. */
  async #lock(): Promise<FileLock | null> {
    const wait = new AbortController();
    this.#wait = wait;
    const { target, timeout, lock: lockOptions } = this.#work;
    try {
      return await lock(target, {
        ...lockOptions,
        timeout: timeout === 0 ? 0 : Infinity,
        signal: wait.signal,
        onWait: (info) => {
          this.#holder = info.holder;
          lockOptions.onWait?.(info);
        },
      });
    } catch (error) {
      if (wait.signal.aborted) return null;
      throw error;
    } finally {
      this.#wait = null;
    }
  }

  async #applyAll(before: State, applied: Applied<State, Change, Result>[]): Promise<State> {
    const startedAt = performance.now();
    this.#cutShort = true;
    let current = before;
    while (
      applied.length < this.#work.maxCalls &&
      (applied.length === 0 || performance.now() - startedAt < maxRoundMs)
    ) {
      const call = this.#calls.shift();
      if (call === undefined) {
        this.#cutShort = false;
        break;
      }
      if (!call.isPending()) continue;
      try {
        const own = await call.run(this.#work, current);
        if (!call.isPending()) continue;
        call.enterCommit();
        current = own;
        applied.push({ call, own });
      } catch (error) {
        if (call.isPending()) call.fail(error);
      }
    }
    return current;
  }
}

/** Groups of calls, by a key that is equal for calls that may share a commit. */
export class RoundGroups<State, Change, Result> {
  readonly #groups = new Map<string, Group<State, Change, Result>>();

  /** Adds a call to the group of `key`; `toWork` tells what a new one is about. */
  join(
    key: string,
    toWork: () => RoundWork<State, Change, Result>,
    change: Change,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing.add(change, signal);
    const group = new Group(toWork());
    this.#groups.set(key, group);
    const promise = group.add(change, signal);
    void group.serve(() => this.#groups.delete(key));
    return promise;
  }
}
