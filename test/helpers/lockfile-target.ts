import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';

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
