/** All that is tried in a directory, in one of its own that is removed in the end. */
import { statfs } from 'node:fs/promises';
import path from 'node:path';

import { inspectLock } from '../index.js';
import { withHeldDirectory, withScratchDirectory, type HeldDirectory } from './doctor-directory.js';
import { tryFiles } from './doctor-files.js';
import { tryLocks } from './doctor-locks.js';
import { checkNames, failure, untried } from './doctor-report.js';
import type { Facts, Finding } from './doctor-report.js';
import { StatusLine } from './terminal.js';

export async function examine(
  directory: string,
  signal: AbortSignal,
): Promise<Pick<Facts, 'fileSystem' | 'findings'>> {
  return withHeldDirectory(directory, async (held) => {
    const target = path.join(held.path, 'lock');
    const { fileSystem: name, fileSystemClass } = await inspectLock(target);
    const { bavail, bsize } = await statfs(held.path);
    const fileSystem = { name, class: fileSystemClass, freeBytes: bavail * bsize };
    return { fileSystem, findings: await tryAll(held, signal) };
  });
}

async function tryAll(directory: HeldDirectory, signal: AbortSignal): Promise<Finding[]> {
  const tried = await withScratchDirectory(directory, (scratch) => tryIn(scratch, signal));
  if (!(tried instanceof Error)) return tried;
  // Nothing can be made there, which is what each of them would find.
  const [first, ...others] = checkNames;
  return [failure(first, tried), ...others.map(untried)];
}

async function tryIn(scratch: HeldDirectory, signal: AbortSignal): Promise<Finding[]> {
  const status = new StatusLine(process.stderr);
  const progress = (text: string): void => {
    if (process.stderr.isTTY) status.update(() => text);
  };
  try {
    progress('trying what two processes do to a lock');
    const locks = await tryLocks(scratch, signal);
    progress('trying what becomes of files');
    return [...locks, ...(await tryFiles(scratch.path, signal))].map((finding) => ({
      ...finding,
      text: finding.text.replaceAll(scratch.path, scratch.name),
    }));
  } finally {
    status.clear();
  }
}
