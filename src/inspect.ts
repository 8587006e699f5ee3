import { toError } from './errors.js';
import { delivered, livenessNames, native, Outcome, RecordState } from './native.js';
import { acquireArguments, toRequest, withLinksFollowed, type InspectOptions } from './options.js';
import { holderOf, type LockHolder } from './record.js';

/** What can be told of a lock from outside. */
export interface LockInspection {
  target: string;
  lockPath: string;
  /** Whether somebody holds the lock. `unknown` where the system does not tell. */
  state: 'free' | 'held' | 'unknown';
  /** Whether it is held shared; null unless it is held. */
  shared: boolean | null;
  /**
   * Whom the lock file names. With `state: 'free'` that is a holder that ended without release. A shared holder leaves
   * no name.
   */
  holder: LockHolder | null;
  /** Whether the process that `holder` names is still there. */
  liveness: 'alive' | 'dead' | 'unknown';
  /**
   * The processes that took the lock, as the kernel names them (Linux). A process that inherited the descriptor of a
   * holder that has died is not among them.
   */
  pids: number[];
  /** The lock file's record is damaged and was not believed. */
  malformed: boolean;
  /** The file system the lock file is on. */
  fileSystem: string;
}

/**
 * Tells who holds the lock on `target`, without taking it, changing anything or leaving anything behind.
 *
 * On Linux's local file systems the kernel is asked. On macOS, on network file systems and inside a pid namespace, a lock
 * on a fresh descriptor is tried and given back at once, so that a `tryLock` at that very moment may find the lock busy.
 *
 * Rejects as `lock` does when the lock file is refused or cannot be opened (EACCES, with `refused: true`, for another
 * user's).
 */
export async function inspectLock(
  target: string | URL,
  options?: InspectOptions,
): Promise<LockInspection> {
  const request = await withLinksFollowed(toRequest('inspectLock', target, options));
  return delivered(native.startInspect(...acquireArguments(request, 0)), (outcome) => {
    if (outcome === Outcome.failed) throw toError(native.lastError());
    return toInspection(request.target);
  });
}

function toInspection(target: string): LockInspection {
  const seen = native.lastInspection();
  return {
    target,
    lockPath: seen.path,
    state: !seen.known ? 'unknown' : seen.held ? 'held' : 'free',
    shared: seen.held ? seen.shared : null,
    holder: holderOf(seen.record, seen.path),
    liveness: livenessNames[seen.liveness] ?? 'unknown',
    pids: seen.pids,
    malformed: seen.record.state === RecordState.malformed,
    fileSystem: seen.fileSystem,
  };
}
