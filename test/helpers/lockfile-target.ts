import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { has } from './capabilities.js';
import { withTemporaryDirectory } from './temporary-directory.js';

/** A file to lock, and the directory that a lock on it is for processes on proper-lockfile. */
export interface LockfileTarget {
  /** Where both are. */
  place: string;
  file: string;
  lockfile: string;
}

export async function withLockfileTarget<T>(
  use: (target: LockfileTarget) => T | Promise<T>,
): Promise<T> {
  return withTemporaryDirectory(async (place) => {
    const file = path.join(place, 'file');
    writeFileSync(file, '');
    return use({ place, file, lockfile: `${file}.lock` });
  });
}

/** Makes what a process on proper-lockfile leaves that was killed so many milliseconds ago. */
export function leaveDirectory(lockfile: string, age: number): void {
  if (!existsSync(lockfile)) mkdirSync(lockfile);
  const time = new Date(Date.now() - age);
  utimesSync(lockfile, time, time);
}

/**
 * Takes a directory away. It is renamed, since Windows may keep the name of a removed one for as long as somebody has it
 * open.
 */
export function takeDirectoryAway(lockfile: string): void {
  renameSync(lockfile, `${lockfile}.${randomUUID()}`);
}

/** Puts another directory in the place of one, as somebody does who takes it over. */
export function replaceDirectory(lockfile: string): void {
  takeDirectoryAway(lockfile);
  mkdirSync(lockfile);
}

/**
 * The names in `place`. Where a name stays until nobody has the file open, lock files are not removed, and are left out
 * here.
 */
export function namesIn(place: string): string[] {
  const lockFile = /^\..*\.lock(file)?$/;
  return readdirSync(place)
    .filter((name) => has('unlinkOpenFiles') || !lockFile.test(name))
    .toSorted();
}

/**
 * Makes a directory of that age and hands back what `look` says of it before it is 2000 ms old: once more, if the machine
 * was too slow for that.
 */
export async function whileYoung<T>(
  lockfile: string,
  age: number,
  look: () => Promise<T>,
): Promise<T> {
  for (;;) {
    leaveDirectory(lockfile, age);
    const before = Date.now();
    const seen = await look();
    if (Date.now() - before < 1900 - age) return seen;
  }
}
