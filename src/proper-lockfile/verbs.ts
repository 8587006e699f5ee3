import nodeFs from 'node:fs';
import { resolve } from 'node:path';
import { toPath } from '../path.js';
import { BridgedHolding } from './bridged-holding.js';
import { Holding } from './holding.js';
import { checkDirectory, checkDirectorySync } from './lock-directory.js';
import {
  checkByCalls,
  DirectoryHolding,
  makeCalls,
  makeCallsSync,
  resolveByCalls,
} from './mkdir-protocol.js';
import {
  toCheckSettings,
  toLockSettings,
  toLockSyncSettings,
  type CheckOptions,
  type CheckSettings,
  type LockfileFs,
  type LockOptions,
  type LockSyncOptions,
  type UnlockOptions,
} from './options.js';
import { withRetries } from './retries.js';

/**
 * Locks `file` and resolves with the function that releases it.
 *
 * Rejects with ELOCKED (and `file`, its resolved path) when somebody holds it, and with `timeout` with ETIMEDOUT; with an
 * error like those of `node:fs` when the system fails, ENOENT when `file` does not exist and `realpath` was not turned
 * off; with a refusal (`refused: true`) when the lock file `.{name}.lock` or a link in the place of the directory cannot be
 * trusted. `release` rejects with ERELEASED the second time, and with ECOMPROMISED when somebody else has the lock by then.
 *
 * The lock outlasts a blocked event loop and, among users of this package, a stopped process. It does not keep the process
 * alive, and goes with it; after SIGKILL processes on proper-lockfile have to wait for `stale`.
 */
export async function lock(file: string, options?: LockOptions): Promise<() => Promise<void>> {
  const settings = toLockSettings(options);
  const resolved = await resolvePath(file, settings);
  const lockfilePath = lockfilePathOf(resolved, settings);
  const holding: Holding = await withRetries(settings.retries, async () =>
    hasFs(settings)
      ? DirectoryHolding.acquire(resolved, lockfilePath, settings)
      : BridgedHolding.acquire(resolved, lockfilePath, settings),
  );
  return () => holding.release();
}

/** As {@link lock}, on this thread: without `retries` (ESYNC) and `signal`, and blocking it with `timeout`. */
export function lockSync(file: string, options?: LockSyncOptions): () => void {
  const settings = toLockSyncSettings(options);
  const resolved = resolvePathSync(file, settings);
  const lockfilePath = lockfilePathOf(resolved, settings);
  const holding = hasFs(settings)
    ? DirectoryHolding.acquireSync(resolved, lockfilePath, settings)
    : BridgedHolding.acquireSync(resolved, lockfilePath, settings);
  return () => {
    holding.releaseSync();
  };
}

/** Releases the lock on `file`, the latest if there are several; rejects with ENOTACQUIRED when this thread has none. */
export async function unlock(file: string, options?: UnlockOptions): Promise<void> {
  const settings = toCheckSettings(options);
  await find(await resolvePath(file, settings), settings).release(settings.fs);
}

/** As {@link unlock}, on this thread. */
export function unlockSync(file: string, options?: UnlockOptions): void {
  const settings = toCheckSettings(options);
  find(resolvePathSync(file, settings), settings).releaseSync(settings.fs);
}

/** Whether somebody holds the lock on `file`. True of the moment only. */
export async function check(file: string, options?: CheckOptions): Promise<boolean> {
  const settings = toCheckSettings(options);
  const lockfilePath = lockfilePathOf(await resolvePath(file, settings), settings);
  return hasFs(settings)
    ? makeCalls(settings.fs, checkByCalls(lockfilePath, settings))
    : checkDirectory(lockfilePath, settings);
}

/** As {@link check}, on this thread. */
export function checkSync(file: string, options?: CheckOptions): boolean {
  const settings = toCheckSettings(options);
  const lockfilePath = lockfilePathOf(resolvePathSync(file, settings), settings);
  return hasFs(settings)
    ? makeCallsSync(settings.fs, checkByCalls(lockfilePath, settings))
    : checkDirectorySync(lockfilePath, settings);
}

/** The locks that this thread holds, by the resolved paths of their files. */
export function getLocks(): Record<string, object> {
  return Holding.all();
}

type WithFs<Settings> = Settings & { fs: LockfileFs };

function hasFs<Settings extends CheckSettings>(settings: Settings): settings is WithFs<Settings> {
  return settings.fs !== undefined;
}

async function resolvePath(file: string, settings: CheckSettings): Promise<string> {
  if (!settings.realpath) return resolve(file);
  return makeCalls(settings.fs ?? nodeFs, resolveByCalls(file));
}

function resolvePathSync(file: string, settings: CheckSettings): string {
  if (!settings.realpath) return resolve(file);
  return makeCallsSync(settings.fs ?? nodeFs, resolveByCalls(file));
}

/** Where the directory is. Of the paths of a given `fs` nothing is known here. */
function lockfilePathOf(resolved: string, settings: CheckSettings): string {
  const path = settings.lockfilePath ?? `${resolved}.lock`;
  return hasFs(settings) ? path : toPath("option 'lockfilePath'", path);
}

/** The one that is meant: at a certain place, if there is a word of that. */
function find(resolved: string, settings: CheckSettings): Holding {
  if (settings.lockfilePath === undefined) return Holding.find(resolved);
  return Holding.find(resolved, [
    settings.lockfilePath,
    toPath("option 'lockfilePath'", settings.lockfilePath),
  ]);
}
