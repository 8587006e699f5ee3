/**
 * Locks that both kinds of processes respect. The kernel's lock on `.x.lock` excludes ours: it is free at once when its
 * holder dies, and nobody takes it from one who is stopped or busy. Under it stands the directory `x.lock`, which excludes
 * processes on proper-lockfile; a native thread keeps it fresh.
 */
import nodeFs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquire, acquireSync, tryAcquire, tryAcquireSync } from '../acquire.js';
import { HoldfastError, toError } from '../errors.js';
import { nativeStateOf, type FileLock } from '../file-lock.js';
import { forgetDelivery, native, Outcome, whenDelivered } from '../native.js';
import { toRequest, type LockRequest } from '../options.js';
import { toPath } from '../path.js';
import { timeoutError } from '../waiting-caller.js';
import { compromisedBy, lockedError, robbedError } from './errors.js';
import { Holding } from './holding.js';
import {
  block,
  claimDirectory,
  claimDirectorySync,
  isRobbed,
  isRobbedSync,
  lockFileBeside,
  startHeartbeat,
} from './lock-directory.js';
import { checkByCalls, makeCalls, makeCallsSync, removeByCalls } from './mkdir-protocol.js';
import type { LockfileFs, LockSettings } from './options.js';

/** A process on proper-lockfile wakes nobody. */
const pollInterval = 50;

/** A lock on the kernel's lock file and the directory beside it. */
export class BridgedHolding extends Holding {
  readonly #held: FileLock;
  readonly #settings: LockSettings;
  readonly #id: number;

  private constructor(file: string, held: FileLock, settings: LockSettings) {
    super(file, held.target, settings.onCompromised);
    this.#held = held;
    this.#settings = settings;
    this.#id = nativeStateOf(held).id;
    whenDelivered(this.#id, (outcome) => {
      const failed = outcome === Outcome.failed;
      void this.compromise(failed ? compromisedBy(toError(native.lastError())) : robbedError());
    });
  }

  static async acquire(
    file: string,
    lockfilePath: string,
    settings: LockSettings,
  ): Promise<BridgedHolding> {
    const attempt = new Attempt(file, lockfilePath, settings);
    const held = await attempt.takeLockFile();
    try {
      while (!(await claimDirectory(held, settings))) {
        await sleepUntilAborted(attempt.nextWait(), attempt.request.signal);
      }
      startHeartbeat(held, settings);
    } catch (error) {
      await held.release().catch(() => undefined);
      throw error;
    }
    return new BridgedHolding(file, held, settings);
  }

  static acquireSync(file: string, lockfilePath: string, settings: LockSettings): BridgedHolding {
    const attempt = new Attempt(file, lockfilePath, settings);
    const held = attempt.takeLockFileSync();
    try {
      while (!claimDirectorySync(held, settings)) block(attempt.nextWait());
      startHeartbeat(held, settings);
    } catch (error) {
      releaseQuietly(held);
      throw error;
    }
    return new BridgedHolding(file, held, settings);
  }

  protected async giveBack(fs: LockfileFs | undefined): Promise<void> {
    forgetDelivery(this.#id);
    let robbed: boolean;
    try {
      robbed = await isRobbed(this.#held, this.#settings);
      if (fs !== undefined) await makeCalls(fs, removeByCalls(this.lockfilePath));
    } catch (error) {
      // Whatever it was, nobody would release it another time.
      await this.#held.release().catch(() => undefined);
      throw error;
    }
    await this.#held.release();
    if (robbed) throw robbedError();
  }

  protected giveBackSync(fs: LockfileFs | undefined): void {
    forgetDelivery(this.#id);
    let robbed: boolean;
    try {
      robbed = isRobbedSync(this.#held, this.#settings);
      if (fs !== undefined) makeCallsSync(fs, removeByCalls(this.lockfilePath));
    } catch (error) {
      releaseQuietly(this.#held);
      throw error;
    }
    this.#held.releaseSync();
    if (robbed) throw robbedError();
  }

  protected async giveUp(): Promise<void> {
    // The holder is told that the lock is lost, which says more.
    await this.#held.release().catch(() => undefined);
  }

  protected giveBackAtEnd(): void {
    this.#held.releaseSync();
  }
}

/** After another error, which tells what is the matter. */
function releaseQuietly(held: FileLock): void {
  try {
    held.releaseSync();
  } catch {
    // Closing its file has released it all the same.
  }
}

/** One call, from the kernel's lock to the end of its patience. */
class Attempt {
  readonly request: LockRequest;
  readonly #file: string;
  readonly #settings: LockSettings;
  readonly #startedAt = performance.now();

  constructor(file: string, lockfilePath: string, settings: LockSettings) {
    this.#file = file;
    this.#settings = settings;
    const lockPath = lockFileBeside(lockfilePath);
    this.request = toRequest('lock', lockfilePath, { lockPath, ...settings.wait }, toPath);
  }

  async takeLockFile(): Promise<FileLock> {
    const { request } = this;
    try {
      if (this.#settings.wait !== undefined) return await acquire(request);
      return this.#orLocked(await tryAcquire(request));
    } catch (error) {
      if (!isForeignLockFile(error)) throw error;
      const taken = await makeCalls(nodeFs, checkByCalls(request.target, this.#settings));
      throw taken ? lockedError(this.#file) : error;
    }
  }

  takeLockFileSync(): FileLock {
    const { request } = this;
    try {
      if (this.#settings.wait !== undefined) return acquireSync(request);
      return this.#orLocked(tryAcquireSync(request));
    } catch (error) {
      if (!isForeignLockFile(error)) throw error;
      const taken = makeCallsSync(nodeFs, checkByCalls(request.target, this.#settings));
      throw taken ? lockedError(this.#file) : error;
    }
  }

  /**
   * How many milliseconds to the next look at a directory that somebody else has. The kernel's lock is kept meanwhile: ours
   * queue behind it.
   */
  nextWait(): number {
    const { request } = this;
    if (this.#settings.wait === undefined) throw lockedError(this.#file);
    request.signal?.throwIfAborted();
    const left = this.#startedAt + request.timeout - performance.now();
    if (left <= 0) throw timeoutError(request, null);
    return Math.min(pollInterval, left);
  }

  #orLocked(held: FileLock | null): FileLock {
    if (held === null) throw lockedError(this.#file);
    return held;
  }
}

/** Another user's lock file can be opened by him alone. The directory tells everybody whether it is in use. */
function isForeignLockFile(error: unknown): boolean {
  return (
    error instanceof HoldfastError &&
    error.refused &&
    (error.code === 'EACCES' || error.code === 'EPERM')
  );
}

async function sleepUntilAborted(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
