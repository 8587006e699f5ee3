/** The directory `x.lock` beside the kernel's lock file `.x.lock`: native calls, with their outcomes as values and errors. */
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toError } from '../errors.js';
import { nativeStateOf, type FileLock } from '../file-lock.js';
import { beside } from '../links.js';
import { delivered, native, Outcome } from '../native.js';
import { lockPathOf, toRequest } from '../options.js';
import { toPath } from '../path.js';
import { isAbsent } from './errors.js';
import type { CheckSettings, LockSettings } from './options.js';

/**
 * A process on proper-lockfile that took a directory for stale just before we took it over is about to remove it. After
 * this many milliseconds it has done so.
 */
const settlingTime = 250;

/**
 * The lock file that goes with a directory: for `x.lock` the one that `lock('x')` of this package takes, so that the two
 * exclude one another. No two directories have the same one.
 */
export function lockFileBeside(directory: string): string {
  const name = basename(directory);
  const target = name.replace(/\.lock$/i, '');
  if (target === name || target === '') return beside(directory, `.${name}.lockfile`);
  return lockPathOf(toRequest('lock', beside(directory, target), undefined, toPath));
}

/** Whether somebody holds the lock, of either kind. */
export function checkDirectory(directory: string, { stale }: CheckSettings): Promise<boolean> {
  const id = native.startCheckDirectory(directory, Math.ceil(stale), lockFileBeside(directory));
  return delivered(id, isTaken);
}

export function checkDirectorySync(directory: string, { stale }: CheckSettings): boolean {
  return isTaken(native.checkDirectory(directory, Math.ceil(stale), lockFileBeside(directory)));
}

/** Makes the directory of a lock that is held, or takes a dead holder's over; false when somebody else has it. */
export async function claimDirectory(held: FileLock, settings: CheckSettings): Promise<boolean> {
  if (!(await look(held, settings))) return false;
  if (!isContested(held)) return true;
  await sleep(settlingTime);
  return look(held, settings).catch(falseIfAbsent);
}

export function claimDirectorySync(held: FileLock, settings: CheckSettings): boolean {
  if (!lookSync(held, settings)) return false;
  if (!isContested(held)) return true;
  block(settlingTime);
  try {
    return lookSync(held, settings);
  } catch (error) {
    return falseIfAbsent(error);
  }
}

export function startHeartbeat(held: FileLock, { update }: LockSettings): void {
  const { id } = nativeStateOf(held);
  if (native.startHeartbeat(id, Math.ceil(update)) === Outcome.failed) {
    throw toError(native.lastError());
  }
}

/** Whether somebody else has the directory of a lock that is held. That it is gone is nobody's fault, as it always was. */
export async function isRobbed(held: FileLock, settings: CheckSettings): Promise<boolean> {
  return !(await look(held, settings).catch(trueIfAbsent));
}

export function isRobbedSync(held: FileLock, settings: CheckSettings): boolean {
  try {
    return !lookSync(held, settings);
  } catch (error) {
    return !trueIfAbsent(error);
  }
}

export function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** The first look claims the directory, later ones tell whether it is still there. */
async function look(held: FileLock, settings: CheckSettings): Promise<boolean> {
  const { id, remote } = nativeStateOf(held);
  if (!remote) return lookSync(held, settings);
  const started = native.startClaimDirectory(id, held.target, Math.ceil(settings.stale));
  return delivered(started, isOurs);
}

function lookSync(held: FileLock, { stale }: CheckSettings): boolean {
  const { id } = nativeStateOf(held);
  return isOurs(native.claimDirectory(id, held.target, Math.ceil(stale)));
}

const isContested = (held: FileLock): boolean =>
  native.isDirectoryContested(nativeStateOf(held).id);

function isOurs(outcome: Outcome): boolean {
  if (outcome === Outcome.failed) throw toError(native.lastError());
  return outcome === Outcome.granted;
}

function isTaken(outcome: Outcome): boolean {
  if (outcome === Outcome.failed) throw toError(native.lastError());
  return outcome === Outcome.busy;
}

function falseIfAbsent(error: unknown): false {
  if (isAbsent(error)) return false;
  throw error;
}

function trueIfAbsent(error: unknown): true {
  if (isAbsent(error)) return true;
  throw error;
}
