/** All that is tried in a directory, in one of its own that is removed in the end. */
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import path from 'node:path';

import { inspectLock } from '../index.js';
import { tryFiles } from './doctor-files.js';
import { tryLocks } from './doctor-locks.js';
import { checkNames, failure, untried } from './doctor-report.js';
import type { Facts } from './doctor-report.js';
import { StatusLine } from './terminal.js';

export async function examine(
  directory: string,
  signal: AbortSignal,
): Promise<Pick<Facts, 'fileSystem' | 'findings'>> {
  const { fileSystem: name, fileSystemClass } = await inspectLock(path.join(directory, 'lock'));
  const { bavail, bsize } = await statfs(directory);
  const fileSystem = { name, class: fileSystemClass, freeBytes: bavail * bsize };
  return { fileSystem, findings: await tryAll(directory, signal) };
}

async function tryAll(directory: string, signal: AbortSignal): Promise<Facts['findings']> {
  let place: string;
  try {
    place = await mkdtemp(path.join(directory, '.holdfast-doctor-'));
  } catch (error) {
    // Nothing can be made there, which is what each of them would find.
    const [first, ...others] = checkNames;
    return [failure(first, error), ...others.map(untried)];
  }
  const status = new StatusLine(process.stderr);
  const progress = (text: string): void => {
    if (process.stderr.isTTY) status.update(() => text);
  };
  try {
    progress('trying what two processes do to a lock');
    const locks = await tryLocks(place, signal);
    progress('trying what becomes of files');
    return [...locks, ...(await tryFiles(place, signal))];
  } finally {
    status.clear();
    await rm(place, { recursive: true, force: true, maxRetries: 5 });
  }
}
