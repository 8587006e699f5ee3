/** From a checked request to a lock: at once, after a wait, or not at all. */
import { dirname } from 'node:path';
import { HoldfastError, toError } from './errors.js';
import { FileLock } from './file-lock.js';
import {
  cancel,
  delivered,
  forgetDelivery,
  native,
  Outcome,
  RequestFlag,
  result,
  ResultIndex,
  whenDelivered,
} from './native.js';
import {
  acquireArguments,
  claimantOf,
  lockPathOf,
  remoteKeyOf,
  withLinksFollowed,
  withLinksFollowedSync,
  type LockRequest,
} from './options.js';
import { LockQueue } from './queue.js';
import { holderOf, type LockHolder } from './record.js';
import { publishContended, reportWait, timeoutError, WaitingCaller } from './waiting-caller.js';
import { lookInterval } from './watch.js';

/** A blocked thread comes back to JavaScript this often, so that its worker can be terminated. */
const slice = 50;

/**
 * Waits for the lock. Before the caller enters the queue under some key, `beforeQueueing` may object by throwing.
 */
export async function acquire(
  original: LockRequest,
  beforeQueueing?: (key: string) => void,
): Promise<FileLock> {
  original.signal?.throwIfAborted();
  const request = original.follow ? await withLinksFollowed(original) : original;
  if (request.timeout === 0) {
    return tryAcquireOrTimeOut(request);
  }
  const outcome = attempt(request);
  if (outcome === Outcome.granted) return new FileLock(request);
  if (outcome === Outcome.failed) throw toError(native.lastError());
  const caller = new WaitingCaller(request);
  place(caller, outcome, beforeQueueing);
  return await caller.promise;
}

/** Acts on the outcome of `caller`'s own attempt, which was not a grant. */
function place(
  caller: WaitingCaller,
  outcome: Outcome,
  beforeQueueing: ((key: string) => void) | undefined,
): void {
  const { request } = caller;
  if (outcome === Outcome.unseen) {
    touch(request, (error) => {
      if (caller.settled) return;
      if (error) caller.fail(error);
      else retry(caller, beforeQueueing);
    });
  } else if (outcome === Outcome.remote) {
    enqueue(caller, remoteKeyOf(lockPathOf(request)), undefined, true, beforeQueueing);
  } else {
    const keptId = outcome === Outcome.busy ? result[ResultIndex.id] : undefined;
    enqueue(caller, native.lastKey(), keptId, false, beforeQueueing);
  }
}

/** The attempt of one who may have to wait: not before those who wait for the directory already. */
function attempt(request: LockRequest): Outcome {
  if (touching.size > 0 && touching.has(directoryOf(request))) return Outcome.unseen;
  return native.acquire(...acquireArguments(request, RequestFlag.keepFile));
}

/** The caller's attempt after the directory was touched. */
function retry(caller: WaitingCaller, beforeQueueing?: (key: string) => void): void {
  const { request } = caller;
  const outcome = attempt(request);
  if (outcome === Outcome.granted) caller.grant(new FileLock(request));
  else if (outcome === Outcome.failed) caller.fail(toError(native.lastError()));
  else place(caller, outcome, beforeQueueing);
}

function enqueue(
  caller: WaitingCaller,
  key: string,
  keptId: number | undefined,
  remote: boolean,
  beforeQueueing: ((key: string) => void) | undefined,
): void {
  try {
    beforeQueueing?.(key);
  } catch (error) {
    if (!caller.settled) caller.fail(error);
  }
  // It may also have been aborted meanwhile.
  if (caller.settled) {
    if (keptId !== undefined) cancel(keptId);
    return;
  }
  LockQueue.open(key, remote).enqueue(caller, keptId);
}

/** Takes the lock if that needs no waiting, past those who wait; null when somebody holds it. */
export async function tryAcquire(original: LockRequest): Promise<FileLock | null> {
  const request = original.follow ? await withLinksFollowed(original) : original;
  return tryOnce(request, 0, (outcome) => granted(request, outcome));
}

/** The same for a caller who asked for a timeout of 0. */
async function tryAcquireOrTimeOut(request: LockRequest): Promise<FileLock> {
  return tryOnce(request, RequestFlag.keepFile, (outcome, remote) => {
    const held = granted(request, outcome);
    if (held !== null) return held;
    const id = result[ResultIndex.id] ?? 0;
    // Reading the record may take as long as any call on a remote file system.
    const inTheWay = remote ? null : holder(request, id);
    publishContended(request, () => inTheWay);
    const error = timeoutError(request, inTheWay);
    cancel(id);
    throw error;
  });
}

async function tryOnce<T>(
  request: LockRequest,
  flags: number,
  conclude: (outcome: Outcome, remote: boolean) => T,
): Promise<T> {
  const args = acquireArguments(request, flags | RequestFlag.overtake);
  let outcome = native.acquire(...args);
  while (outcome === Outcome.unseen) {
    await delivered(native.startTouch(...args), (touched) => {
      if (touched === Outcome.failed) throw toError(native.lastError());
    });
    outcome = native.acquire(...args);
  }
  if (outcome !== Outcome.remote) return conclude(outcome, false);
  return delivered(native.startAcquire(...args), (remoteOutcome) => conclude(remoteOutcome, true));
}

function granted(request: LockRequest, outcome: Outcome): FileLock | null {
  if (outcome === Outcome.failed) throw toError(native.lastError());
  return outcome === Outcome.granted ? new FileLock(request) : null;
}

type Touched = (error: Error | null) => void;

/** The directories that other threads are touching, and who came while they did. */
const touching = new Map<string, Touched[]>();

/** What a touch is for: requests of one key succeed and fail together. */
function directoryOf(request: LockRequest): string {
  const { destination, within = '' } = request;
  const directories = [dirname(destination), dirname(lockPathOf(request)), within];
  return `${request.flags & RequestFlag.refuseParentLinks}:${directories.join('\0')}`;
}

/** The first touch of a directory may mount something, or wait for another machine: it is not made on this thread. */
function touch(request: LockRequest, done: Touched): void {
  const directory = directoryOf(request);
  const waiting = touching.get(directory);
  if (waiting !== undefined) {
    waiting.push(done);
    return;
  }
  const callers = [done];
  touching.set(directory, callers);
  whenDelivered(native.startTouch(...acquireArguments(request, 0)), (outcome) => {
    touching.delete(directory);
    const failed = outcome === Outcome.failed;
    const failure = failed ? native.lastError() : null;
    // Each gets an error of its own.
    for (const caller of callers) caller(failure === null ? null : toError(failure));
  });
}

/** Blocks this thread until the lock is granted. */
export function acquireSync(original: LockRequest): FileLock {
  const request = withLinksFollowedSync(original);
  const startedAt = performance.now();
  const deadline = startedAt + request.timeout;
  const flags = RequestFlag.mayBlock | RequestFlag.overtake | RequestFlag.keepFile;
  // However often the lock file is replaced while it is waited for: each time somebody had the lock.
  for (;;) {
    const outcome = native.acquire(...acquireArguments(request, flags));
    if (outcome === Outcome.granted) return new FileLock(request);
    if (outcome !== Outcome.busy) throw toError(native.lastError());
    const lock = waitSync(request, result[ResultIndex.id] ?? 0, startedAt, deadline);
    if (lock !== null) return lock;
  }
}

/** Takes the lock on this thread if that needs no waiting; null when somebody holds it. */
export function tryAcquireSync(original: LockRequest): FileLock | null {
  const request = withLinksFollowedSync(original);
  const flags = RequestFlag.mayBlock | RequestFlag.overtake;
  return granted(request, native.acquire(...acquireArguments(request, flags)));
}

/** Waits with the file that a busy attempt kept; null when the lock file was replaced meanwhile. */
function waitSync(
  request: LockRequest,
  keptId: number,
  startedAt: number,
  deadline: number,
): FileLock | null {
  let id = keptId;
  let queue: LockQueue | undefined;
  let lock: FileLock | null = null;
  try {
    publishContended(request, () => holder(request, id));
    if (request.timeout === 0) throw timeoutError(request, holder(request, id));
    queue = LockQueue.find(native.keyOf(id)) ?? LockQueue.find(remoteKeyOf(lockPathOf(request)));
    const taken = queue?.suspend(request) ?? null;
    if (taken !== null) {
      cancel(id);
      id = taken;
      forgetDelivery(id);
    }
    // After the queue's wait is out of the way: what is granted to that one can be had.
    refuseWaitForSelf(request, id);
    if (taken === null && native.startWait(id, ...claimantOf(request)) === Outcome.failed) {
      throw toError(native.lastError());
    }
    lock = awaitGrant(request, id, startedAt, deadline);
    return lock;
  } finally {
    if (lock === null) cancel(id);
    queue?.resume();
  }
}

function awaitGrant(
  request: LockRequest,
  id: number,
  startedAt: number,
  deadline: number,
): FileLock | null {
  let nextLook = startedAt;
  let nextReport = startedAt;
  const refuseAfterDeadline = (now: number): void => {
    if (now >= deadline) throw timeoutError(request, holder(request, id));
  };
  for (let now = performance.now(); ; now = performance.now()) {
    refuseAfterDeadline(now);
    if (now >= nextLook) {
      refuseWaitForSelf(request, id);
      const seen = native.lookAtWait(id);
      if (seen === Outcome.stale) return null;
      if (seen === Outcome.overdue) {
        const taken = takeOverSync(request, id);
        if (taken !== null) {
          cancel(id);
          return taken;
        }
      }
      nextLook = now + Math.min(lookInterval, native.lookIntervalOf(id));
    }
    if (now >= nextReport) {
      nextReport = now + lookInterval;
      if (request.onWait !== undefined) reportWait(request, now - startedAt, holder(request, id));
    }
    const until = Math.min(deadline, nextLook) - now;
    if (native.awaitWait(id, Math.ceil(Math.min(until, slice)))) break;
  }
  for (;;) {
    const outcome = native.complete(id, slice, ...claimantOf(request));
    if (outcome === Outcome.failed) throw toError(native.lastError());
    if (outcome === Outcome.granted) return new FileLock(request);
    if (outcome !== Outcome.guarded) return null;
    refuseAfterDeadline(performance.now());
  }
}

/** Takes the lock from a holder that hangs; null when somebody else was faster, or it does not hang any more. */
function takeOverSync(request: LockRequest, id: number): FileLock | null {
  const flags = RequestFlag.mayBlock | RequestFlag.overtake;
  const outcome = native.takeOver(id, slice, ...acquireArguments(request, flags));
  return granted(request, outcome);
}

/** A thread that is blocked can release nothing: a lock that it holds itself would never come free. */
function refuseWaitForSelf(request: LockRequest, id: number): void {
  if (!native.conflictsWithHeld(id)) return;
  throw deadlockError(request, 'this thread holds it and would block waiting for itself');
}

function holder(request: LockRequest, id: number): LockHolder | null {
  return holderOf(native.holderOf(id), lockPathOf(request));
}

export function deadlockError(request: LockRequest, why: string): HoldfastError {
  const path = lockPathOf(request);
  return new HoldfastError(
    'EDEADLK',
    `the lock on '${request.target}' cannot be waited for: ${why}`,
    {
      path,
    },
  );
}
