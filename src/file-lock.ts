import type { Data, DataStream } from './bytes.js';
import { HoldfastError, toError } from './errors.js';
import { channels, publish } from './events.js';
import {
  delivered,
  native,
  Outcome,
  PreviousFlag,
  RequestFlag,
  result,
  ResultIndex,
  whenDelivered,
} from './native.js';
import { checkArgumentCount, checkNames } from './option-checks.js';
import { lockPathOf, remoteKeyOf, type LockRequest } from './options.js';
import { holderOf, type LockHolder } from './record.js';
// Which in turn needs the lock; neither uses the other before both are loaded.
import { replaceFile, type ReplaceResult } from './replace.js';
import { replaceOptionNames, type ReplaceOptions } from './replace-options.js';
import { SignsOfLife } from './signs-of-life.js';
import { atEachLook, watchForLoss, type Watched } from './watch.js';

/** What is told of a lock that was dropped; it must not lead to the lock itself. */
const dropped = new FinalizationRegistry<Pick<LockRequest, 'target' | 'destination' | 'lockPath'>>(
  (request) => {
    const { target } = request;
    publish('dropped', { target, lockPath: lockPathOf(request) });
    process.emitWarning(
      `The lock on '${target}' was dropped without release(); it stays held until this thread ends.`,
      { type: 'HoldfastWarning', code: 'HOLDFAST_LOCK_DROPPED' },
    );
  },
);

/**
 * Locks that were granted since the last slow look. Most are released before the next one, and to register each would cost a
 * quarter of all that is done for a lock outside of the kernel.
 */
const fresh = new Set<FileLock>();
let stopRegistering: (() => void) | null = null;

/** Warns if `lock` is ever dropped without release. */
function warnIfDropped(lock: FileLock): void {
  fresh.add(lock);
  stopRegistering ??= atEachLook(registerFresh);
}

function registerFresh(): void {
  for (const held of fresh) dropped.register(held, FileLock.placeOf(held), held);
  fresh.clear();
  stopRegistering?.();
  stopRegistering = null;
}

const notHeld = 0;

/**
 * A lock that was granted. It is held until `release()`, until it is disposed of (`using`, `await using`), or until its
 * thread ends; a process that dies in whatever way frees it at once. Holding a lock does not keep the process alive.
 *
 * The lock is advisory: it excludes those who ask for it, by holdfast or by the same kernel lock on the lock file, and
 * keeps nobody from the target itself.
 */
export class FileLock implements AsyncDisposable, Disposable, Watched {
  /** Absolute path of what the lock stands for. */
  readonly target: string;
  readonly shared: boolean;
  /**
   * Fencing token: grows with every exclusive grant of this lock file, across crashes too, so that a store can turn away
   * a late write. Null for a shared lock, and for one that failed open.
   */
  readonly token: number | null;
  /**
   * The holder before, if that one ended without release: what it was writing may be half done. Told once, to the next
   * holder.
   */
  readonly previousHolder: LockHolder | null;
  /** Whether this is a lock in name only (`failOpen`): it was not granted, is not held, and excludes nobody. */
  readonly failedOpen: boolean;

  #id: number;
  readonly #request: LockRequest;
  readonly #remote: boolean;
  #loss: HoldfastError | null = null;
  #controller: AbortController | null = null;
  #looking = false;
  #signs: SignsOfLife | null = null;
  #pendingWrites = 0;
  /** Null unless somebody wants to know how long the lock is held: to look at a clock takes its time. */
  readonly #grantedAt = channels.released.hasSubscribers ? performance.now() : null;

  /** Takes over the grant that the addon has just reported. */
  constructor(request: LockRequest, failedOpen = false) {
    this.#request = request;
    this.failedOpen = failedOpen;
    this.#id = failedOpen ? notHeld : (result[ResultIndex.id] ?? notHeld);
    this.#remote = !failedOpen && result[ResultIndex.remote] !== 0;
    this.target = request.target;
    this.shared = (request.flags & RequestFlag.shared) !== 0;
    this.token = this.shared || failedOpen ? null : (result[ResultIndex.token] ?? null);
    this.previousHolder = failedOpen
      ? null
      : this.#readPreviousHolder(result[ResultIndex.previousFlags] ?? 0);
    if (failedOpen) return;
    if (request.ttl !== 0) this.#signs = this.#startSigns(request.ttl);
    warnIfDropped(this);
  }

  /** What tells where the lock is and does not lead to it. @internal */
  static placeOf(lock: FileLock): Pick<LockRequest, 'target' | 'destination' | 'lockPath'> {
    const { target, destination, lockPath } = lock.#request;
    return { target, destination, lockPath };
  }

  /** The lock of a caller that goes on without one. @internal */
  static inNameOnly(request: LockRequest): FileLock {
    return new FileLock(request, true);
  }

  /** Absolute path of the lock file. */
  get lockPath(): string {
    return lockPathOf(this.#request);
  }

  /** Whether the lock is ours: granted, not released, and not known to be lost. */
  get held(): boolean {
    return this.#id !== notHeld && this.#loss === null;
  }

  /**
   * Whether the lock was lost: somebody removed or replaced its lock file, or took the lock over because no sign of life was
   * seen for `ttl`, so that others can be granted a lock as well.
   * On a local file system this looks; on a network one it tells what the last look found (about once a second from the
   * first use of `signal` on).
   */
  get lost(): boolean {
    if (this.#loss === null && this.#id !== notHeld && !this.#remote) this.checkForLoss();
    return this.#loss !== null;
  }

  /**
   * Aborted, with an ECOMPROMISED error as its reason, when the lock is found to be lost; looks about once a second, and
   * with a `ttl` three times in that time.
   */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#loss !== null) {
        this.#controller.abort(this.#loss);
      } else if (this.#id !== notHeld) {
        watchForLoss(this);
      }
    }
    return this.#controller.signal;
  }

  /**
   * Throws ECOMPROMISED unless the lock is held now: not after release, and not when it was lost (see `lost`). True of the
   * moment only; {@link replaceFile} makes sure of the moment of its commit.
   */
  verify(): void {
    checkArgumentCount('lock.verify', arguments.length, 0);
    if (this.#id === notHeld && this.#loss === null) {
      throw this.#compromised(
        this.failedOpen ? 'the lock was never held: it failed open' : 'the lock was released',
      );
    }
    this.checkForLoss();
    if (this.#loss !== null) throw this.#loss;
  }

  /**
   * Gives the lock back. Releasing again does nothing, and never touches a later holder's lock. Rejects with the
   * system's error when the record or the unlock failed; the lock file is closed, and the lock given up, all the same.
   *
   * Nothing that was begun under the lock is published after its release: a replace whose commit is in progress is waited
   * for, and one that has not come so far rejects with ECOMPROMISED and leaves the old file.
   */
  async release(): Promise<void> {
    checkArgumentCount('lock.release', arguments.length, 0);
    // A commit in progress is waited for, which this thread must not do.
    if (!this.#remote && this.#pendingWrites === 0) {
      this.releaseSync();
      return;
    }
    const id = this.#forget();
    if (id === notHeld) return;
    await delivered(native.startRelease(id), (outcome) => {
      this.#concludeRelease(outcome);
    });
  }

  /** As {@link release}, on this thread, which is blocked while a replace under the lock publishes its file. */
  releaseSync(): void {
    checkArgumentCount('lock.releaseSync', arguments.length, 0);
    const id = this.#forget();
    if (id !== notHeld) this.#concludeRelease(native.release(id));
  }

  /**
   * Replaces what the lock stands for, as the function `replaceFile` does, unless the lock is lost (ECOMPROMISED). With a
   * `ttl` nobody can take the lock over between that check and the commit, so that no late write of a holder that hung ever
   * lands.
   */
  async replaceFile(
    data: Data | DataStream,
    options?: Omit<ReplaceOptions, 'lock'>,
  ): Promise<ReplaceResult> {
    checkArgumentCount('lock.replaceFile', arguments.length, 2);
    const given = checkNames('lock.replaceFile', options, replaceOptionNames);
    if ('lock' in given) {
      throw new TypeError("option 'lock' does not apply to lock.replaceFile");
    }
    return replaceFile(this.#request.destination, data, { ...given, lock: this });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  [Symbol.dispose](): void {
    this.releaseSync();
  }

  /** Looks whether the lock is still in its place; false ends the watch over it. @internal */
  checkForLoss(): boolean {
    if (this.#loss !== null || this.#id === notHeld) return false;
    return this.#acceptLook(native.verify(this.#id));
  }

  /** The slow look, which never blocks this thread; false ends it. @internal */
  watch(): boolean {
    if (!this.#remote) return this.checkForLoss();
    if (this.#loss !== null || this.#id === notHeld) return false;
    if (!this.#looking) {
      this.#looking = true;
      whenDelivered(native.startVerify(this.#id), (outcome) => {
        this.#looking = false;
        this.#acceptLook(outcome);
      });
    }
    return true;
  }

  /** Throws ECOMPROMISED if the lock was lost; one that was released is not. @internal */
  static async verifyNotLost(lock: FileLock): Promise<void> {
    if (lock.#id !== notHeld && lock.#loss === null) {
      if (lock.#remote) {
        await delivered(native.startVerify(lock.#id), (outcome) => {
          lock.#acceptLook(outcome);
        });
      } else {
        lock.checkForLoss();
      }
    }
    if (lock.#loss !== null) throw lock.#loss;
  }

  /** Whether the lock is still worth a look. */
  #acceptLook(outcome: Outcome): boolean {
    if (this.#loss !== null || this.#id === notHeld) return false;
    // A look that fails (the directory cannot be reached now) says nothing about the lock.
    if (outcome !== Outcome.stale) return true;
    const takenOver = this.#signs?.isOverdue === true;
    this.#loss = this.#compromised(
      takenOver
        ? `the lock was taken over: no sign of life was seen for ${this.#request.ttl} ms`
        : 'the lock was lost: its lock file was removed or replaced',
    );
    this.#signs?.stop();
    publish('lost', {
      target: this.target,
      lockPath: this.lockPath,
      token: this.token,
      reason: takenOver ? 'taken-over' : 'removed',
    });
    this.#controller?.abort(this.#loss);
    return false;
  }

  #startSigns(ttl: number): SignsOfLife {
    const lock = new WeakRef(this);
    const recordAge = result[ResultIndex.age] ?? 0;
    return new SignsOfLife(this.#id, ttl, this.#remote, recordAge, (outcome) => {
      const held = lock.deref();
      if (held !== undefined) held.#acceptLook(outcome);
    });
  }

  /** The addon's number of a held lock, for a commit under it; 0 when it is held no longer. @internal */
  static idOf(lock: FileLock): number {
    return lock.#id;
  }

  /** What a commit found that was refused because the lock is lost. @internal */
  static lossOf(lock: FileLock): HoldfastError {
    lock.#acceptLook(Outcome.stale);
    return lock.#loss ?? lock.#compromised('the lock was released');
  }

  /** Counts the replaces that are pending under a lock. @internal */
  static countWrites(lock: FileLock, more: 1 | -1): void {
    lock.#pendingWrites += more;
  }

  /** The raw descriptor that the kernel's lock hangs on, for a child process to inherit. @internal */
  static descriptorOf(lock: FileLock): number {
    return native.descriptorOf(lock.#id);
  }

  /** What the addon knows a held lock by, and whether its system calls may take long. @internal */
  static nativeStateOf(lock: FileLock): { id: number; remote: boolean } {
    return { id: lock.#id, remote: lock.#remote };
  }

  /** Gives up our part in a lock whose descriptor a child process inherited. @internal */
  static releaseToHeirs(lock: FileLock): void {
    const id = lock.#forget();
    if (id === notHeld) return;
    if (native.releaseToHeirs(id) === Outcome.failed) throw toError(native.lastError());
  }

  /** What tells this lock from others, however its path was spelled. @internal */
  static keyOf(lock: FileLock): string {
    return native.keyOf(lock.#id);
  }

  #forget(): number {
    const id = this.#id;
    this.#id = notHeld;
    if (id !== notHeld && !fresh.delete(this)) dropped.unregister(this);
    this.#signs?.stop();
    return id;
  }

  /** Tells that the lock was released, as it was even when that failed. */
  #concludeRelease(outcome: Outcome): void {
    const error = outcome === Outcome.failed ? toError(native.lastError()) : null;
    if (channels.released.hasSubscribers && this.#loss === null) {
      const { target, lockPath, token } = this;
      const heldMs = this.#grantedAt === null ? null : performance.now() - this.#grantedAt;
      publish('released', { target, lockPath, token, heldMs });
    }
    if (error !== null) throw error;
  }

  #readPreviousHolder(flags: number): LockHolder | null {
    if (flags === 0) return null;
    const record = native.previousOf(this.#id);
    if (record === null) return null;
    const previous = holderOf(record, this.lockPath);
    if ((flags & PreviousFlag.takenOver) !== 0) {
      const { target, lockPath, token } = this;
      publish('taken_over', { target, lockPath, token, previousHolder: previous });
    }
    return previous;
  }

  #compromised(what: string): HoldfastError {
    return new HoldfastError('ECOMPROMISED', `${what}, '${this.lockPath}'`, {
      path: this.lockPath,
    });
  }
}

/** The raw descriptor of a held lock, which a child process may be given to keep the lock with its own life. */
export const descriptorOf = (lock: FileLock): number => FileLock.descriptorOf(lock);

/**
 * Releases a lock whose descriptor a child process was given: the lock file no longer names us, and the lock lasts as
 * long as some process has the descriptor.
 */
export const releaseToHeirs = (lock: FileLock): void => {
  FileLock.releaseToHeirs(lock);
};

/** Throws ECOMPROMISED when the lock that a write is made under is not held; one that failed open never was. */
export const verifyBeforeWrite = (lock: FileLock | undefined): void => {
  if (lock?.failedOpen === false) lock.verify();
};

export const verifyNotLost = (lock: FileLock): Promise<void> => FileLock.verifyNotLost(lock);

/** Counts the replaces that are pending under a lock, whose release then waits for a commit in progress off this thread. */
export const countWrites = (lock: FileLock, more: 1 | -1): void => {
  FileLock.countWrites(lock, more);
};

export const idOf = (lock: FileLock): number => FileLock.idOf(lock);

export const lossOf = (lock: FileLock): HoldfastError => FileLock.lossOf(lock);

/** The keys under which callers may queue for a lock; none when it is held no longer. */
export const keysOf = (lock: FileLock): readonly string[] =>
  lock.held ? [FileLock.keyOf(lock), remoteKeyOf(lock.lockPath)] : [];

/** What the addon knows a held lock by (0 when it is held no longer), and whether its system calls may take long. */
export const nativeStateOf = (lock: FileLock): { id: number; remote: boolean } =>
  FileLock.nativeStateOf(lock);
