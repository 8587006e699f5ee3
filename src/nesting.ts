/** Locks that are held for the length of a callback, so that what runs inside never waits for its own caller. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { deadlockError } from './acquire.js';
import { keysOf, type FileLock } from './file-lock.js';
import { RequestFlag } from './native.js';
import type { LockRequest } from './options.js';
import { acquire, tryAcquire } from './taking.js';

/** A callback that runs while a lock is held, and those around it in the same asynchronous flow. */
interface Frame {
  readonly shared: boolean;
  /** The keys under which callers may queue for the lock; none when the callback has returned, or the lock is held no longer. */
  keys(): readonly string[];
  outer: Frame | undefined;
}

/** One for all copies of the package that this thread has loaded: they would wait for one another as well. */
const flowName = Symbol.for('holdfast.nesting.1');
const flow = sharedFlow();

function sharedFlow(): AsyncLocalStorage<Frame> {
  const known: unknown = Reflect.get(globalThis, flowName);
  if (known instanceof AsyncLocalStorage) return known as AsyncLocalStorage<Frame>;
  const made = new AsyncLocalStorage<Frame>();
  Object.defineProperty(globalThis, flowName, { value: made });
  return made;
}

/** Which locks the current asynchronous flow must not wait for. */
export type Nesting = Frame | undefined;

export function currentNesting(): Nesting {
  // What was started in a callback that has returned keeps no frame of it alive.
  let frame = flow.getStore();
  while (frame !== undefined && frame.keys().length === 0) frame = frame.outer;
  return frame;
}

/** Runs `fn` while `held` counts as held around it, until its promise settles. */
export async function runNested<Result>(
  held: FileLock,
  fn: () => Result | PromiseLike<Result>,
): Promise<Awaited<Result>> {
  let lock: FileLock | null = held;
  const frame: Frame = {
    shared: held.shared,
    keys: () => (lock === null ? [] : keysOf(lock)),
    outer: currentNesting(),
  };
  try {
    return await flow.run(frame, fn);
  } finally {
    lock = null;
    frame.outer = undefined;
  }
}

/** Whether a callback in `nesting` holds the lock for which callers queue under `key`. */
export function holds(nesting: Nesting, key: string): boolean {
  return findFrame(nesting, key) !== undefined;
}

export function nestedError(request: LockRequest): Error {
  return deadlockError(request, 'a callback around this call holds it');
}

/** Acquires the lock, or rejects with EDEADLK if a callback in `nesting` holds it. */
export async function acquireNested(request: LockRequest, nesting: Nesting): Promise<FileLock> {
  if (nesting === undefined) return acquire(request);
  const around: Frame[] = [];
  try {
    return await acquire(request, (key) => {
      const frame = findFrame(nesting, key);
      if (frame === undefined) return;
      around.push(frame);
      throw nestedError(request);
    });
  } catch (error) {
    const wantsShared = (request.flags & RequestFlag.shared) !== 0;
    if (!wantsShared || around[0]?.shared !== true) throw error;
    // Behind an exclusive caller that waits for our outer shared lock, a second shared one would wait indefinitely; beside
    // the outer one it can be acquired.
    const held = await tryAcquire(request);
    if (held === null) throw error;
    return held;
  }
}

function findFrame(innermost: Nesting, key: string): Frame | undefined {
  let frame = innermost;
  while (frame !== undefined && !frame.keys().includes(key)) frame = frame.outer;
  return frame;
}
