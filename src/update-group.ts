/** The calls of `updateFile` that share rounds of lock, read, calls and commit. */
import { AsyncResource } from 'node:async_hooks';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { toBuffer, toBytes, type Data } from './bytes.js';
import { startDeadline, type Deadline } from './deadline.js';
import type { FileLock } from './file-lock.js';
import { lock } from './lock.js';
import { toRequest, type LockOptions } from './options.js';
import { readRegularFile } from './read-file.js';
import type { LockHolder } from './record.js';
import { replace, type ReplaceResult } from './replace.js';
import { toReplaceRequest, type ReplaceOptions } from './replace-options.js';
import { sanitizeSessionId } from './sanitize.js';
import { timeoutError } from './waiting-caller.js';

/**
 * Gets a copy of the current bytes, null when there is no file; returns the new ones, or undefined to leave the file
 * alone. Returned bytes must not be changed before the call has ended.
 */
export type UpdateFunction<Result> = (current: Buffer | null) => Result;

/** A round serves at most so many calls, for at most so long, so that other processes get their turn. */
const maxCallsInRound = 64;
const maxRoundMs = 50;
/** After a round that was cut short: a process that the kernel wakes needs a moment, in which we would be faster. */
const pauseMs = 2;

/** The options of an update, for each of its steps. */
export interface UpdateParts {
  path: string;
  lock: LockOptions;
  read: { maxBytes?: number; journalDir?: string | URL; links?: 'refuse' | 'follow' };
  replace: ReplaceOptions;
  signal: AbortSignal | undefined;
  timeout: number;
  /** Equal for calls that may share a commit. */
  key: string;
}

export type AnyUpdate = UpdateFunction<Data | undefined | PromiseLike<Data | undefined>>;

interface DeadlineOptions {
  timeout: number;
  error: () => Error;
}

/** One call of `updateFile`, which keeps its caller's asynchronous context. */
class UpdateCall extends AsyncResource {
  readonly fn: AnyUpdate;
  readonly signal: AbortSignal | undefined;
  readonly promise: Promise<Buffer | null>;
  readonly #timer: Deadline;
  #settled = false;
  #resolve!: (contents: Buffer | null) => void;
  #reject!: (error: unknown) => void;
  readonly #onAbort = (): void => {
    this.fail(this.signal?.reason);
  };

  constructor(fn: AnyUpdate, signal: AbortSignal | undefined, onTimeout: DeadlineOptions) {
    super('HoldfastUpdate');
    this.fn = fn;
    this.signal = signal;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#timer = startDeadline(onTimeout.timeout, () => {
      this.fail(onTimeout.error());
    });
  }

  /** Whether the call has neither failed nor succeeded yet. */
  isPending(): boolean {
    return !this.#settled;
  }

  async run(current: Buffer | null): Promise<Data | undefined> {
    this.#timer.stop();
    return this.runInAsyncScope(this.fn, undefined, current);
  }

  /** From here on it is too late for an abort: the change is part of the commit. */
  enterCommit(): void {
    this.signal?.removeEventListener('abort', this.#onAbort);
  }

  succeed(contents: Buffer | null): void {
    this.#settle();
    this.#resolve(contents);
  }

  fail(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#timer.stop();
    this.enterCommit();
  }
}

/** The calls of this thread for one file with equal options: they share rounds of lock, read, calls and commit. */
export class UpdateGroup {
  static readonly #groups = new Map<string, UpdateGroup>();

  readonly #parts: UpdateParts;
  readonly #calls: UpdateCall[] = [];
  /** Whether the last round has left calls to the next one. */
  #cutShort = false;
  /** Who was last seen in the way. */
  #holder: LockHolder | null = null;

  private constructor(parts: UpdateParts) {
    this.#parts = parts;
  }

  static join(parts: UpdateParts, fn: AnyUpdate): Promise<Buffer | null> {
    const existing = UpdateGroup.#groups.get(parts.key);
    const group = existing ?? new UpdateGroup(parts);
    const call = new UpdateCall(fn, parts.signal, {
      // One try is the lock's own affair.
      timeout: parts.timeout === 0 ? Infinity : parts.timeout,
      error: () => timeoutError(toRequest('lock', parts.path, parts.lock), group.#holder),
    });
    group.#calls.push(call);
    if (existing === undefined) {
      UpdateGroup.#groups.set(parts.key, group);
      void group.#serve();
    }
    return call.promise;
  }

  async #serve(): Promise<void> {
    while (this.#dropSettled()) {
      await this.#round();
      if (this.#cutShort) await sleep(pauseMs);
    }
    UpdateGroup.#groups.delete(this.#parts.key);
  }

  /** Whether anybody is left. */
  #dropSettled(): boolean {
    while (this.#calls[0]?.isPending() === false) this.#calls.shift();
    return this.#calls.length > 0;
  }

  async #round(): Promise<void> {
    this.#cutShort = false;
    const { path } = this.#parts;
    const committed: UpdateCall[] = [];
    try {
      const held = await this.#lock();
      if (held === null) return;
      this.#holder = this.#ourselves(held);
      try {
        const before = (await readRegularFile(path, this.#parts.read))?.contents ?? null;
        const after = await this.#callAll(before, committed);
        if (after !== before) await this.#commit(after, held);
        else held.verify();
        for (const call of committed) call.succeed(after && Buffer.from(after));
      } finally {
        await held.release();
      }
    } catch (error) {
      // A commit is for all of its calls, and so is its failure; one before any call was made is for those that wait.
      const failed = committed.length > 0 ? committed : this.#calls.splice(0);
      for (const call of failed) if (call.isPending()) call.fail(error);
    }
  }

  /** Who is in the way of those whose turn has not come. */
  #ourselves({ token }: FileLock): LockHolder {
    const { session = '' } = this.#parts.lock;
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
    const controller = new AbortController();
    const stopIfAlone = (): void => {
      if (!this.#calls.some((call) => call.isPending())) controller.abort();
    };
    for (const call of this.#calls) call.promise.then(stopIfAlone, stopIfAlone);
    const { timeout, path } = this.#parts;
    try {
      return await lock(path, {
        ...this.#parts.lock,
        timeout: timeout === 0 ? 0 : Infinity,
        signal: controller.signal,
        onWait: (wait) => {
          this.#holder = wait.holder;
          this.#parts.lock.onWait?.(wait);
        },
      });
    } catch (error) {
      if (controller.signal.aborted) return null;
      throw error;
    }
  }

  async #callAll(before: Buffer | null, committed: UpdateCall[]): Promise<Buffer | null> {
    const startedAt = performance.now();
    this.#cutShort = true;
    let current = before;
    while (
      committed.length < maxCallsInRound &&
      (committed.length === 0 || performance.now() - startedAt < maxRoundMs)
    ) {
      const call = this.#calls.shift();
      if (call === undefined) {
        this.#cutShort = false;
        break;
      }
      if (!call.isPending()) continue;
      try {
        // A copy, so that what one does to it in place is nothing to the next.
        const returned = await call.run(current && Buffer.from(current));
        if (!call.isPending()) continue;
        call.enterCommit();
        if (returned !== undefined) current = toBuffer(toBytes(returned, 'what fn returns'));
        committed.push(call);
      } catch (error) {
        if (call.isPending()) call.fail(error);
      }
    }
    return current;
  }

  async #commit(contents: Buffer | null, held: FileLock): Promise<ReplaceResult | null> {
    if (contents === null) return null;
    const request = toReplaceRequest('replaceFile', this.#parts.path, this.#parts.replace);
    request.lock = held;
    return replace(request, contents);
  }
}
