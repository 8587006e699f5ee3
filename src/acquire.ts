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
import { lockPathOf, type LockRequest } from './options.js';
import { acquireArguments, LockQueue } from './queue.js';
import { holderOf, type LockHolder } from './record.js';
import { reportWait, timeoutError, WaitingCaller } from './waiting-caller.js';

const lookInterval = 1000;
/** A blocked thread comes back to JavaScript this often, so that its worker can be terminated. */
const slice = 50;

/**
 * Waits for the lock. Before the caller enters the queue under some key, `beforeQueueing` may object by throwing.
 */
export async function acquire(
  request: LockRequest,
  beforeQueueing?: (key: string) => void,
): Promise<FileLock> {
  request.signal?.throwIfAborted();
  if (request.timeout === 0) {
    return (await tryAcquire(request)) ?? fail(timeoutError(request, null));
  }
  const outcome = native.acquire(...acquireArguments(request, RequestFlag.keepFile));
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
      else attempt(caller, beforeQueueing);
    });
  } else if (outcome === Outcome.remote) {
    enqueue(caller, LockQueue.remoteKey(lockPathOf(request)), undefined, true, beforeQueueing);
  } else {
    const keptId = outcome === Outcome.busy ? result[ResultIndex.id] : undefined;
    enqueue(caller, native.lastKey(), keptId, false, beforeQueueing);
  }
}

/** The caller's attempt after the directory was touched. */
function attempt(caller: WaitingCaller, beforeQueueing?: (key: string) => void): void {
  const { request } = caller;
  const outcome = native.acquire(...acquireArguments(request, RequestFlag.keepFile));
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
    if (keptId !== undefined) cancel(keptId);
    caller.fail(error);
    return;
  }
  LockQueue.open(key, remote).enqueue(caller, keptId);
}

/** Takes the lock if that needs no waiting, past those who wait; null when somebody holds it. */
export async function tryAcquire(request: LockRequest): Promise<FileLock | null> {
  const args = acquireArguments(request, RequestFlag.overtake);
  let outcome = native.acquire(...args);
  while (outcome === Outcome.unseen) {
    await delivered(native.startTouch(...args), (touched) => {
      if (touched === Outcome.failed) throw toError(native.lastError());
    });
    outcome = native.acquire(...args);
  }
  if (outcome !== Outcome.remote) return granted(request, outcome);
  return delivered(native.startAcquire(...args), (remoteOutcome) =>
    granted(request, remoteOutcome),
  );
}

function granted(request: LockRequest, outcome: Outcome): FileLock | null {
  if (outcome === Outcome.failed) throw toError(native.lastError());
  return outcome === Outcome.granted ? new FileLock(request) : null;
}

/** The directories that other threads are touching, and who waits for that. */
const touching = new Map<string, ((error: Error | null) => void)[]>();

/** The first touch of a directory may mount something, or wait for another machine: it is not made on this thread. */
function touch(request: LockRequest, done: (error: Error | null) => void): void {
  const directory = `${request.flags}:${dirname(lockPathOf(request))}`;
  const waiting = touching.get(directory);
  if (waiting !== undefined) {
    waiting.push(done);
    return;
  }
  const callbacks = [done];
  touching.set(directory, callbacks);
  whenDelivered(native.startTouch(...acquireArguments(request, 0)), (outcome) => {
    touching.delete(directory);
    const error = outcome === Outcome.failed ? toError(native.lastError()) : null;
    for (const callback of callbacks) callback(error);
  });
}

/** Blocks this thread until the lock is granted. */
export function acquireSync(request: LockRequest): FileLock {
  const startedAt = performance.now();
  const deadline = startedAt + request.timeout;
  const flags = RequestFlag.mayBlock | RequestFlag.overtake | RequestFlag.keepFile;
  for (;;) {
    const outcome = native.acquire(...acquireArguments(request, flags));
    if (outcome === Outcome.granted) return new FileLock(request);
    if (outcome !== Outcome.busy) throw toError(native.lastError());
    const lock = waitSync(request, result[ResultIndex.id] ?? 0, startedAt, deadline);
    if (lock !== null) return lock;
  }
}

/** Takes the lock on this thread if that needs no waiting; null when somebody holds it. */
export function tryAcquireSync(request: LockRequest): FileLock | null {
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
  try {
    if (request.timeout === 0) throw timeoutError(request, holder(request, id));
    refuseWaitForSelf(request, id);
    const shared = (request.flags & RequestFlag.shared) !== 0;
    queue =
      LockQueue.find(native.keyOf(id)) ?? LockQueue.find(LockQueue.remoteKey(lockPathOf(request)));
    const taken = queue?.suspend(shared) ?? null;
    if (taken !== null) {
      cancel(id);
      id = taken;
      forgetDelivery(id);
    } else if (native.startWait(id) === Outcome.failed) {
      throw toError(native.lastError());
    }
    return awaitGrant(request, id, startedAt, deadline);
  } finally {
    cancel(id);
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
  for (let now = startedAt; ; now = performance.now()) {
    if (now >= deadline) throw timeoutError(request, holder(request, id));
    if (now >= nextLook) {
      nextLook = now + lookInterval;
      refuseWaitForSelf(request, id);
      if (!native.isWaitInPlace(id)) return null;
      if (request.onWait !== undefined) reportWait(request, now - startedAt, holder(request, id));
    }
    if (native.awaitWait(id, Math.ceil(Math.min(deadline - now, slice)))) break;
  }
  const outcome = native.complete(id, request.sessionId, request.sessionHash);
  if (outcome === Outcome.failed) throw toError(native.lastError());
  return outcome === Outcome.granted ? new FileLock(request) : null;
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

function fail(error: Error): never {
  throw error;
}
