/** The callers of this environment that wait for one lock file: first come, first served, whatever their mode. */
import { toError } from './errors.js';
import { FileLock } from './file-lock.js';
import {
  cancel,
  native,
  Outcome,
  RequestFlag,
  result,
  ResultIndex,
  whenDelivered,
} from './native.js';
import { acquireArguments, claimantOf, lockPathOf, type LockRequest } from './options.js';
import { holderOf, type LockHolder } from './record.js';
import type { WaitingCaller } from './waiting-caller.js';
import { type WaitingPlace } from './waiting-caller.js';
import { atEachLook, lookInterval } from './watch.js';

/**
 * The kernel wait, which belongs to the queue: a caller that leaves hands it to the next whose lock would be the same, since
 * the lock is entered as soon as it is granted.
 */
interface KernelWait {
  id: number;
  request: LockRequest;
}

function wantTheSame(one: LockRequest, other: LockRequest): boolean {
  return (
    ((one.flags ^ other.flags) & RequestFlag.shared) === 0 &&
    one.ttl === other.ttl &&
    one.sessionId === other.sessionId &&
    one.sessionHash === other.sessionHash
  );
}

export class LockQueue implements WaitingPlace {
  static readonly #queues = new Map<string, LockQueue>();

  readonly #key: string;
  /** Whether system calls on this file system may take long, so that none is made on this thread. */
  readonly #remote: boolean;
  readonly #callers = new CallerList();
  #wait: KernelWait | null = null;
  /** More than 0 while another thread works for the head, or a blocking call of this thread is in between. */
  #suspensions = 0;
  #stopLooking: (() => void) | null = null;
  /** Looks more often, while the holder is one that may be taken for hung. */
  #nextLook: NodeJS.Timeout | undefined;

  private constructor(key: string, remote: boolean) {
    this.#key = key;
    this.#remote = remote;
  }

  static find(key: string): LockQueue | undefined {
    return LockQueue.#queues.get(key);
  }

  /** The queue under `key`, made if there is none. From then on, others queue without trying. */
  static open(key: string, remote: boolean): LockQueue {
    let queue = LockQueue.#queues.get(key);
    if (queue === undefined) {
      queue = new LockQueue(key, remote);
      LockQueue.#queues.set(key, queue);
      native.setQueued(key, true);
    }
    return queue;
  }

  /** Puts `caller` last. `keptId` is the file that its own busy attempt kept open, if it made one. */
  enqueue(caller: WaitingCaller, keptId?: number): void {
    caller.enter(this);
    this.#callers.append(caller);
    if (keptId !== undefined) {
      if (this.#callers.first === caller && this.#isIdle()) this.#startWait(caller, keptId);
      else cancel(keptId);
    }
    this.#advance();
    // On a remote file system nobody knows yet whether anything is in the way.
    if (this.#wait !== null && caller.wantsReport) {
      caller.reportWait(this.holder());
    }
    if (this.#callers.first !== null) this.#stopLooking ??= atEachLook(() => this.#look());
  }

  leave(caller: WaitingCaller): void {
    this.#callers.remove(caller);
    this.#advance();
  }

  holder(): LockHolder | null {
    const caller = this.#callers.first;
    if (this.#wait === null || caller === null) return null;
    return holderOf(native.holderOf(this.#wait.id), lockPathOf(caller.request));
  }

  /**
   * Takes the kernel wait away for a blocking call of this thread, which could never be handed a lock that is granted to
   * it. Returns its id if it is for what `request` wants; otherwise it is ended. `resume` must follow.
   */
  suspend(request: LockRequest): number | null {
    this.#suspensions++;
    const wait = this.#wait;
    this.#wait = null;
    if (wait === null) return null;
    if (wantTheSame(wait.request, request)) return wait.id;
    cancel(wait.id);
    return null;
  }

  resume(): void {
    this.#suspensions--;
    this.#advance();
  }

  #isIdle(): boolean {
    return this.#wait === null && this.#suspensions === 0;
  }

  /** Serves the head, and those behind it that can be served with it, until one has to wait. */
  #advance(): void {
    while (this.#suspensions === 0) {
      const head = this.#callers.first;
      if (head?.failIfAborted()) {
        this.#callers.remove(head);
        continue;
      }
      if (this.#wait !== null) {
        if (head !== null && wantTheSame(head.request, this.#wait.request)) return;
        this.#endWait();
      }
      if (head === null) {
        this.#close();
        return;
      }
      if (this.#remote) this.#tryElsewhere(head);
      else this.#settle(head, native.acquire(...attemptOf(head)));
    }
  }

  /** Acts on what an attempt, or the end of a wait, came to for the head. */
  #settle(head: WaitingCaller, outcome: Outcome): void {
    switch (outcome) {
      case Outcome.granted:
        this.#callers.remove(head);
        head.grant(new FileLock(head.request));
        return;
      case Outcome.busy:
        this.#startWait(head, result[ResultIndex.id] ?? 0);
        return;
      case Outcome.stale:
        // The lock file was replaced while it was waited for, as often as somebody had the lock: the next try follows.
        return;
      case Outcome.unseen:
      case Outcome.remote:
        // A network file system was mounted over the directory since; another thread can wait for it.
        this.#tryElsewhere(head);
        return;
      default:
        this.#fail(head, toError(native.lastError()));
    }
  }

  #tryElsewhere(head: WaitingCaller): void {
    this.#suspendFor(head, native.startAcquire(...attemptOf(head)));
  }

  #fail(head: WaitingCaller, error: unknown): void {
    this.#callers.remove(head);
    head.fail(error);
  }

  #startWait(head: WaitingCaller, id: number): void {
    if (native.startWait(id, ...claimantOf(head.request)) === Outcome.failed) {
      this.#fail(head, toError(native.lastError()));
      return;
    }
    this.#wait = { id, request: head.request };
    this.#scheduleLook();
    if (this.#remote && head.wantsReport) head.reportWait(this.holder());
    whenDelivered(id, (outcome) => {
      this.#wait = null;
      this.#finishWait(id, outcome);
      this.#advance();
    });
  }

  /** The lock was entered, or the wait failed: by now the head may be another caller than the one it was started for. */
  #finishWait(id: number, outcome: Outcome): void {
    const head = this.#callers.first;
    if (outcome === Outcome.guarded && head !== null) {
      this.#suspendFor(head, native.startComplete(id, ...claimantOf(head.request)));
    } else if (head !== null) {
      this.#settle(head, outcome);
    } else if (outcome === Outcome.granted) {
      giveBackUntold();
    } else {
      cancel(id);
    }
  }

  /** Waits for another thread's work for `head`, who may have left before it is done. */
  #suspendFor(head: WaitingCaller, id: number): void {
    this.#suspensions++;
    whenDelivered(id, (outcome) => {
      this.#suspensions--;
      if (!head.settled) {
        this.#settle(head, outcome);
      } else if (outcome === Outcome.granted) {
        giveBackUntold();
      } else if (outcome === Outcome.busy) {
        cancel(result[ResultIndex.id] ?? 0);
      }
      this.#advance();
    });
  }

  /** The slow check: a lock file that was replaced wakes nobody, nor does a holder that hangs. */
  #look(): void {
    this.#lookAtWait();
    // A callback may make callers leave, so they are listed first.
    const listeners: WaitingCaller[] = [];
    for (let caller = this.#callers.first; caller !== null; caller = caller.next) {
      if (caller.wantsReport) listeners.push(caller);
    }
    if (listeners.length === 0) return;
    const holder = this.holder();
    for (const caller of listeners) caller.reportWait(holder);
  }

  #lookAtWait(): void {
    if (this.#wait === null) return;
    const { id } = this.#wait;
    const seen = native.lookAtWait(id);
    const head = this.#callers.first;
    if (seen === Outcome.overdue && head !== null) {
      // The kernel's wait is for a lock that others are about to have no more use for.
      this.#suspendFor(head, native.startTakeOver(id, ...attemptOf(head)));
      this.#endWait();
    } else if (seen === Outcome.stale) {
      this.#endWait();
      this.#advance();
    } else {
      this.#scheduleLook();
    }
  }

  #scheduleLook(): void {
    clearTimeout(this.#nextLook);
    if (this.#wait === null) return;
    const interval = native.lookIntervalOf(this.#wait.id);
    if (interval >= lookInterval) return;
    this.#nextLook = setTimeout(() => {
      this.#lookAtWait();
    }, interval).unref();
  }

  #endWait(): void {
    if (this.#wait !== null) cancel(this.#wait.id);
    this.#wait = null;
  }

  #close(): void {
    clearTimeout(this.#nextLook);
    this.#stopLooking?.();
    this.#stopLooking = null;
    native.setQueued(this.#key, false);
    LockQueue.#queues.delete(this.#key);
  }
}

/** Nobody was told of the grant that was just delivered, so that what it found is the next holder's to find. */
function giveBackUntold(): void {
  native.startGiveBack(result[ResultIndex.id] ?? 0);
}

/** An attempt for the head: nobody is before it, and the file is kept for the wait. */
function attemptOf(head: WaitingCaller): ReturnType<typeof acquireArguments> {
  return acquireArguments(head.request, RequestFlag.overtake | RequestFlag.keepFile);
}

/** A list from which a caller that gives up is taken out at no cost to the others, however many they are. */
class CallerList {
  first: WaitingCaller | null = null;
  #last: WaitingCaller | null = null;

  append(caller: WaitingCaller): void {
    caller.previous = this.#last;
    if (this.#last === null) this.first = caller;
    else this.#last.next = caller;
    this.#last = caller;
  }

  remove(caller: WaitingCaller): void {
    if (caller.previous === null) this.first = caller.next;
    else caller.previous.next = caller.next;
    if (caller.next === null) this.#last = caller.previous;
    else caller.next.previous = caller.previous;
    caller.previous = null;
    caller.next = null;
  }
}
