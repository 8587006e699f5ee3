import { checkArgumentCount } from './option-checks.js';
import { toError } from './errors.js';
import {
  delivered,
  fileSystemClassNames,
  livenessNames,
  native,
  Outcome,
  RecordState,
  type NativeInspection,
} from './native.js';
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
   * Who holds the lock, as the lock file names it. Null when nobody does, and for a holder that leaves no name: a shared
   * one, or a program other than holdfast.
   */
  holder: LockHolder | null;
  /** A holder that ended without release, and whom the lock file still names: it is not the present one. */
  previousHolder: LockHolder | null;
  /** Milliseconds without a sign of life after which `holder` loses its lock to whoever waits; null when it never does. */
  ttl: number | null;
  /**
   * Whether the process that the lock file names, as either of the two, is still there: by its pid and the time of its
   * start, so that another process with that pid is not taken for it. Never more than `unknown` for a process of another
   * machine or pid namespace.
   */
  liveness: 'alive' | 'dead' | 'unknown';
  /** The processes that took the lock, as the kernel names them (Linux), whether they are still there or not. */
  pids: number[];
  /**
   * The processes that hold the lock since they inherited it, when those that took it do not any more (Linux; what this
   * user may not see is not among them).
   */
  inheritedBy: number[];
  /** The lock file's record is damaged and was not believed. */
  malformed: boolean;
  /** The file system the lock file is on. */
  fileSystem: string;
  /**
   * What that kind of file system is: on `local` ones the kernel itself grants locks and wakes who waits; on `network` ones
   * another machine does, and waits are tried on a timer; `unknown` ones (FUSE, and what holdfast does not list) are
   * treated like these.
   */
  fileSystemClass: 'local' | 'network' | 'unknown';
}

/**
 * Tells who holds the lock on `target`, without taking it, changing anything or leaving anything behind.
 *
 * On Linux's local file systems the kernel is asked. On macOS, on network file systems and inside a pid namespace, a lock
 * on a fresh descriptor is tried and given back at once, so that a `tryLock` at that very moment may find the lock busy.
 *
 * Rejects as `lock` does when the lock file is refused or cannot be opened (EACCES, with `refused: true`, for another
 * user's).
 *
 * Not promised: that the answer is still true when it arrives.
 *
 * @see [proc_locks(5)](https://man7.org/linux/man-pages/man5/proc_locks.5.html), where Linux names holders
 * @see [Who holds a lock](../docs/semantics.md#who-holds-a-lock)
 */
export async function inspectLock(
  target: string | URL,
  options?: InspectOptions,
): Promise<LockInspection> {
  checkArgumentCount('inspectLock', arguments.length, 2);
  const request = await withLinksFollowed(toRequest('inspectLock', target, options));
  return delivered(native.startInspect(...acquireArguments(request, 0)), (outcome) => {
    if (outcome === Outcome.failed) throw toError(native.lastError());
    return toInspection(request.target);
  });
}

function toInspection(target: string): LockInspection {
  const seen = native.lastInspection();
  const named = holderOf(seen.record, seen.path);
  const isPast = (seen.known && !seen.held) || (named !== null && isTakenByOthers(named.pid, seen));
  return {
    target,
    lockPath: seen.path,
    state: !seen.known ? 'unknown' : seen.held ? 'held' : 'free',
    shared: seen.held ? seen.shared : null,
    holder: isPast ? null : named,
    previousHolder: isPast ? named : null,
    ttl: named !== null && !isPast && seen.record.ttl > 0 ? seen.record.ttl : null,
    liveness: livenessNames[seen.liveness] ?? 'unknown',
    pids: seen.pids,
    inheritedBy: seen.inheritors,
    malformed: seen.record.state === RecordState.malformed,
    fileSystem: seen.fileSystem,
    fileSystemClass: fileSystemClassNames[seen.fileSystemClass] ?? 'unknown',
  };
}

/**
 * Whether the kernel names others than `pid` as those who took the lock. Where nothing can be said of a process's life, its
 * number may be one of another machine or pid namespace, and is not comparable.
 */
function isTakenByOthers(pid: number, { pids, liveness }: NativeInspection): boolean {
  return livenessNames[liveness] !== 'unknown' && pids.length > 0 && !pids.includes(pid);
}
