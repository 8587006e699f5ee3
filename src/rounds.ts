/** Rounds of lock, read, changes and commit that the calls of one thread share. */
import { AsyncResource } from 'node:async_hooks';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isConflict } from './errors.js';
import { keysOf, verifyBeforeWrite, type FileLock } from './file-lock.js';
import { releaseOrWarn } from './lock.js';
import { Fifo } from './fifo.js';
import type { LockRequest, WaitInfo } from './options.js';
import type { LockHolder } from './record.js';
import { holds, nestedError } from './nesting.js';
import { Retries } from './retries.js';
import { Call, failEach, type CallerOptions } from './round-call.js';
import { acquire, goOnWithoutLock } from './taking.js';
import { timeoutError, waitInfo } from './waiting-caller.js';
import { atEachLook } from './watch.js';

/** A round serves calls for at most so long, so that other processes get their turn. */
const maxRoundMs = 50;
/** A process that the kernel wakes needs a moment, in which we would be faster. */
const pauseMs = 2;

/** What the rounds of one group are about. */
export interface RoundWork<State, Change, Result> {
  /** The lock of a round; its timeout is what each call waits for its turn. Callers bring `signal` and `onWait`. */
  readonly lock: LockRequest;
  /** A round serves at most so many calls. */
  readonly maxCalls: number;
  /** Milliseconds for which a commit that is in conflict is tried again. */
  readonly retry: number;
  read(): Promise<State>;
  /** The state after `change`, or the same one; must leave `state` itself as it is. Runs in its caller's context. */
  apply(change: Change, state: State, held: FileLock): State | Promise<State>;
  /**
   * Makes `after`, which is another state than `before`, the one that `read` finds; ECONFLICT when it would not find
   * `before` any more. Then all of it is done again, from `read` on.
   */
  commit(after: State, before: State, held: FileLock): Promise<unknown>;
  /** What a call gets: `own` is the state after its change, before those that came later. */
  toResult(own: State): Result;
}

/** The calls that a round has made. All of them are told when its lock is about to be released. */
interface Made<State, Change, Result> {
  /** Those whose change is part of the commit, and the state after it. */
  applied: { call: Call<Change, Result>; own: State }[];
  /** Those whose change threw. */
  failed: { call: Call<Change, Result>; error: unknown }[];
}

/** The calls of this thread that share rounds. */
class Group<State, Change, Result> {
  readonly #work: RoundWork<State, Change, Result>;
  readonly #calls = new Fifo<Call<Change, Result>>();
  /** Whether the last round has left calls to the next one. */
  #cutShort = false;
  /** How many calls wait here, or are in the round. */
  #present = 0;
  /** Ends the wait for the lock that is under way. */
  #wait: AbortController | null = null;
  /** Under which key it queues, once it does. */
  #waitKey: string | null = null;
  /** The lock of the round that is under way. */
  #held: FileLock | null = null;
  /** What was last told of that wait. */
  #lastReport: WaitInfo | null = null;
  /** Who was last seen in the way. */
  #holder: LockHolder | null = null;
  #stopLooking: (() => void) | null = null;

  constructor(work: RoundWork<State, Change, Result>) {
    this.#work = work;
  }

  add(change: Change, caller: CallerOptions): Promise<Result> {
    const { timeout, failOpen } = this.#work.lock;
    const call = new Call<Change, Result>(change, {
      ...caller,
      // One try is the lock's own affair.
      timeout: timeout === 0 ? Infinity : timeout,
      onTimeout: () => {
        if (failOpen) this.#goOnAlone(call);
        else call.fail(this.#timeoutError());
      },
      onSettled: () => this.#leave(call),
    });
    this.#present++;
    this.#calls.push(call);
    if (this.#waitsForItself(call)) {
      call.fail(nestedError(this.#work.lock));
      return call.promise;
    }
    if (caller.onWait !== undefined) {
      this.#stopLooking ??= atEachLook(() => this.#reportRound());
      if (this.#lastReport !== null) call.reportWait(this.#lastReport);
    }
    return call.promise;
  }

  /** Whether a callback around the call holds the lock that its round needs, or has. */
  #waitsForItself({ nesting }: Call<Change, Result>): boolean {
    if (nesting === undefined) return false;
    const keys = this.#held === null ? [this.#waitKey] : keysOf(this.#held);
    return keys.some((key) => key !== null && holds(nesting, key));
  }

  /** Fails the calls that wait for a callback around them; throws if none is left to wait. */
  #refuseWaitsForSelf(key: string): void {
    this.#waitKey = key;
    for (const call of this.#calls) {
      if (call.isPending() && this.#waitsForItself(call)) call.fail(nestedError(this.#work.lock));
    }
    this.#wait?.signal.throwIfAborted();
  }

  #leave(call: Call<Change, Result>): void {
    if (!call.present) return;
    call.present = false;
    this.#present--;
    if (this.#present === 0) this.#wait?.abort();
  }

  #timeoutError(): Error {
    return timeoutError(this.#work.lock, this.#holder && { ...this.#holder });
  }

  /** Tells all who wait for the lock who is in the way. */
  #reportWait(wait: WaitInfo): void {
    this.#holder = wait.holder;
    this.#lastReport = wait;
    // A callback may make callers leave, or come.
    for (const call of this.#calls) call.reportWait(wait);
  }

  /** The same, about once a second, for those who wait for the end of a round of ours. */
  #reportRound(): void {
    if (this.#wait !== null || this.#calls.length === 0) return;
    const wait = waitInfo(this.#work.lock, 0, this.#holder);
    for (const call of this.#calls) call.reportWait(wait);
  }

  /** Whoever has waited as long as he wants to goes on without the lock, and without those who wait on. */
  #goOnAlone(call: Call<Change, Result>): void {
    this.#leave(call);
    this.#calls.remove(call);
    const held = goOnWithoutLock(this.#work.lock, this.#timeoutError());
    const alone = new Fifo<Call<Change, Result>>();
    alone.push(call);
    void this.#serveUnder(held, alone);
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
    this.#stopLooking?.();
    onEmpty();
  }

  /** Whether anybody is left. */
  #dropSettled(): boolean {
    while (this.#calls.first?.isPending() === false) this.#calls.shift();
    return this.#calls.length > 0;
  }

  async #round(): Promise<void> {
    this.#cutShort = false;
    let held: FileLock | null;
    try {
      held = await this.#lock();
    } catch (error) {
      failEach(this.#calls.takeAll(), error);
      return;
    }
    if (held === null) return;
    if (!held.failedOpen) this.#holder = this.#ourselves(held);
    await this.#serveUnder(held, this.#calls);
  }

  /** Serves calls from the head of `calls`. */
  async #serveUnder(held: FileLock, calls: Fifo<Call<Change, Result>>): Promise<void> {
    const made: Made<State, Change, Result> = { applied: [], failed: [] };
    const { applied, failed } = made;
    if (!held.failedOpen) this.#held = held;
    try {
      await this.#applyAndCommit(held, calls, made);
      for (const { call, own } of applied) call.succeed(this.#work.toResult(own));
    } catch (error) {
      // A commit is for all of its calls, and so is its failure; one before any call was made is for those that wait.
      const none = applied.length + failed.length === 0;
      failEach(none ? calls.takeAll() : applied.map(({ call }) => call), error);
    } finally {
      if (this.#held === held) this.#held = null;
      for (const { call, error } of failed) call.fail(error);
      // At once, so that whoever has been told finds the lock free.
      await releaseOrWarn(held);
    }
  }

  async #applyAndCommit(
    held: FileLock,
    calls: Fifo<Call<Change, Result>>,
    made: Made<State, Change, Result>,
  ): Promise<void> {
    const work = this.#work;
    const retries = new Retries(work.retry);
    let before = await work.read();
    let after = await this.#applyAll(held, calls, before, made);
    for (;;) {
      if (after === before) {
        if (made.applied.length > 0) verifyBeforeWrite(held);
        return;
      }
      try {
        await work.commit(after, before, held);
        return;
      } catch (error) {
        // Somebody without the lock has changed the file: one who went on without it, or an editor.
        if (!isConflict(error) || retries.exhausted) throw error;
      }
      await retries.wait(undefined);
      before = await work.read();
      after = await this.#applyAgain(held, before, made);
    }
  }

  /** Who is in the way of those whose turn has not come. */
  #ourselves({ token }: FileLock): LockHolder {
    return {
      pid: process.pid,
      host: hostname(),
      session: this.#work.lock.sessionId ?? null,
      since: new Date(),
      token: token ?? 0,
      self: true,
    };
  }

  /** Waits for the lock as long as somebody here does; null when nobody does any more. */
  async #lock(): Promise<FileLock | null> {
    const wait = new AbortController();
    this.#wait = wait;
    const { lock } = this.#work;
    try {
      const request = {
        ...lock,
        timeout: lock.timeout === 0 ? 0 : Infinity,
        signal: wait.signal,
        onWait: (info: WaitInfo) => {
          this.#reportWait(info);
        },
      };
      return await acquire(request, (key) => {
        this.#refuseWaitsForSelf(key);
      });
    } catch (error) {
      if (wait.signal.aborted) return null;
      throw error;
    } finally {
      this.#wait = null;
      this.#waitKey = null;
      this.#lastReport = null;
    }
  }

  async #applyAll(
    held: FileLock,
    calls: Fifo<Call<Change, Result>>,
    before: State,
    { applied, failed }: Made<State, Change, Result>,
  ): Promise<State> {
    const startedAt = performance.now();
    // Going on without the lock is told for each call, so each does it for itself.
    const maxCalls = held.failedOpen ? 1 : this.#work.maxCalls;
    let current = before;
    for (;;) {
      const count = applied.length + failed.length;
      if (count >= maxCalls || (count > 0 && performance.now() - startedAt >= maxRoundMs)) break;
      const call = calls.shift();
      if (call === undefined) return current;
      if (!call.isPending()) continue;
      try {
        const own = await this.#run(call, current, held);
        if (!call.isPending()) continue;
        call.enterCommit();
        current = own;
        applied.push({ call, own });
      } catch (error) {
        if (!call.isPending()) continue;
        call.enterCommit();
        failed.push({ call, error });
      }
    }
    if (calls === this.#calls) this.#cutShort = calls.length > 0;
    return current;
  }

  #run(call: Call<Change, Result>, state: State, held: FileLock): Promise<State> {
    return call.run((change) => this.#work.apply(change, state, held));
  }

  /** Makes the changes once more, on what somebody else has made of the file. */
  async #applyAgain(
    held: FileLock,
    before: State,
    { applied, failed }: Made<State, Change, Result>,
  ): Promise<State> {
    let current = before;
    for (const { call } of applied.splice(0)) {
      if (call.failIfAborted()) continue;
      try {
        const own = await this.#run(call, current, held);
        current = own;
        applied.push({ call, own });
      } catch (error) {
        failed.push({ call, error });
      }
    }
    return current;
  }
}

/** A round serves many callers, and runs in the asynchronous context of none of them. */
const outside = new AsyncResource('HoldfastRounds');

/** Groups of calls, by a key that is equal for calls that may share a commit. */
export class RoundGroups<State, Change, Result> {
  readonly #groups = new Map<string, Group<State, Change, Result>>();

  /** Adds a call to the group of `key`; `toWork` tells what a new one is about. */
  join(
    key: string,
    toWork: () => RoundWork<State, Change, Result>,
    change: Change,
    caller: CallerOptions,
  ): Promise<Result> {
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing.add(change, caller);
    const group = new Group(toWork());
    this.#groups.set(key, group);
    const promise = group.add(change, caller);
    void outside.runInAsyncScope(() => group.serve(() => this.#groups.delete(key)));
    return promise;
  }
}
