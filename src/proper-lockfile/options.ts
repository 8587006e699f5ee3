/** The options of proper-lockfile with the defaults and limits that it really has, and two of our own. */
import { toSignal, toTimeout } from '../option-checks.js';
import { toRetryDelays, type RetryDelays } from './retries.js';

/** What is used of `fs`; the synchronous forms use `mkdirSync` and so on. */
export interface LockfileFs {
  mkdir(path: string, callback: (error: NodeJS.ErrnoException | null) => void): void;
  realpath(
    path: string,
    callback: (error: NodeJS.ErrnoException | null, resolvedPath: string) => void,
  ): void;
  stat(
    path: string,
    callback: (error: NodeJS.ErrnoException | null, stats: { mtime: Date }) => void,
  ): void;
  rmdir(path: string, callback: (error: NodeJS.ErrnoException | null) => void): void;
  utimes(
    path: string,
    atime: Date,
    mtime: Date,
    callback: (error: NodeJS.ErrnoException | null) => void,
  ): void;
}

/** How often and how long apart a lock is tried again, as the package `retry` has it. */
export interface RetryOptions {
  /** @default 10 */
  retries?: number | undefined;
  /** @default 2 */
  factor?: number | undefined;
  /** Milliseconds. @default 1000 */
  minTimeout?: number | undefined;
  /** Milliseconds. @default Infinity */
  maxTimeout?: number | undefined;
  /** Makes each delay up to twice as long, at random. @default false */
  randomize?: boolean | undefined;
  /** Never gives up; the last delay is repeated. @default false */
  forever?: boolean | undefined;
  /** Whether the process may end while a retry is due. @default false */
  unref?: boolean | undefined;
  /** Milliseconds after the first try from which on there is no retry. @default Infinity */
  maxRetryTime?: number | undefined;
}

interface PlaceOptions {
  /**
   * Resolves the path of the file, which must exist then; `false` for one that may not exist.
   * @default true
   */
  realpath?: boolean | undefined;
  /** The directory that is made, where it is not to be `${file}.lock`. */
  lockfilePath?: string | undefined;
  /**
   * Functions to use instead of those of `node:fs`. They come with proper-lockfile's own protocol, step by step, and with
   * what it cannot promise: no kernel lock is taken then.
   */
  fs?: object | undefined;
}

export type UnlockOptions = PlaceOptions;

export interface CheckOptions extends PlaceOptions {
  /**
   * Milliseconds without a sign of life after which a holder on proper-lockfile counts as dead, at least 2000. A holder
   * on this package counts as dead when the kernel has freed its lock, and not before.
   * @default 10000
   */
  stale?: number | undefined;
}

export interface LockSyncOptions extends CheckOptions {
  /**
   * Milliseconds between signs of life, from 1000 to half of `stale`.
   * @default stale / 2
   */
  update?: number | null | undefined;
  /** Only 0, in the synchronous form. */
  retries?: number | RetryOptions | readonly number[] | undefined;
  /**
   * Called once when the lock turns out to be lost, with an error whose code is ECOMPROMISED. The default throws it, which
   * ends the process unless somebody catches what nobody caught.
   */
  onCompromised?: ((error: Error) => unknown) | undefined;
  /**
   * Waits up to so many milliseconds, and rejects with ETIMEDOUT then. The kernel ends the wait for a holder on this
   * package; one on proper-lockfile is looked at every 50 ms. Not together with `retries` or `fs`.
   */
  timeout?: number | undefined;
}

export interface LockOptions extends LockSyncOptions {
  /**
   * How often the lock is tried again: a number, options of the package `retry`, or the delays themselves.
   * @default 0
   */
  retries?: number | RetryOptions | readonly number[] | undefined;
  /** Waits, as `timeout` does, until it aborts; rejects with `signal.reason` then. Not together with `retries` or `fs`. */
  signal?: AbortSignal | undefined;
}

export interface CheckSettings {
  realpath: boolean;
  lockfilePath: string | undefined;
  fs: LockfileFs | undefined;
  stale: number;
}

export interface LockSettings extends CheckSettings {
  update: number;
  retries: RetryDelays;
  onCompromised: (error: Error) => unknown;
  /** Undefined: does not wait. */
  wait: { timeout: number; signal: AbortSignal | undefined } | undefined;
}

const shortestStale = 2000;
const shortestUpdate = 1000;

/** What the functions on all platforms take for "never": more milliseconds than have passed since 1970. */
const longestTime = 2 ** 52;

/** An option that is given as undefined is as good as absent, except where proper-lockfile makes the least of it. */
type Given = Record<string, unknown>;

export function toCheckSettings(options: CheckOptions | undefined): CheckSettings {
  const given = { realpath: true, stale: 10_000, ...options } as Given;
  return {
    realpath: Boolean(given.realpath),
    lockfilePath: (given.lockfilePath as string | undefined) || undefined,
    fs: given.fs as LockfileFs | undefined,
    stale: Math.min(Math.max(toNumber(given.stale), shortestStale), longestTime),
  };
}

export function toLockSettings(options: LockOptions | undefined): LockSettings {
  const settings = toCheckSettings(options);
  const given = { update: null, retries: 0, onCompromised: throwIt, ...options } as Given;
  const { timeout, signal } = given;
  const waits = timeout !== undefined || signal !== undefined;
  if (waits && given.retries) refuseTogether(given, 'retries');
  if (waits && settings.fs !== undefined) refuseTogether(given, 'fs');
  const half = settings.stale / 2;
  const update = given.update === null || given.update === undefined ? half : given.update;
  return {
    ...settings,
    update: Math.max(Math.min(toNumber(update), half), shortestUpdate),
    retries: toRetryDelays(given.retries as LockOptions['retries']),
    onCompromised: given.onCompromised as LockSettings['onCompromised'],
    wait: waits
      ? {
          timeout: timeout === undefined ? Infinity : toTimeout(timeout),
          signal: signal === undefined ? undefined : toSignal(signal),
        }
      : undefined,
  };
}

export function toLockSyncSettings(options: LockSyncOptions | undefined): LockSettings {
  const { retries, signal }: Given = { ...options };
  const many = typeof retries === 'object' && retries !== null && 'retries' in retries;
  const count = many ? retries.retries : retries;
  if (typeof count === 'number' && count > 0) {
    throw Object.assign(new Error('Cannot use retries with the sync api'), { code: 'ESYNC' });
  }
  if (signal !== undefined) throw new TypeError("option 'signal' does not apply to lockSync");
  return { ...toLockSettings({ ...options, retries: 0 }) };
}

/** As `x || 0` makes a number of what is none. */
function toNumber(value: unknown): number {
  const number = Number(value);
  return Number.isNaN(number) ? 0 : number;
}

function refuseTogether(given: Given, other: string): never {
  const name = given.timeout === undefined ? 'signal' : 'timeout';
  throw new TypeError(`option '${name}' does not go together with '${other}'`);
}

function throwIt(error: Error): never {
  throw error;
}
