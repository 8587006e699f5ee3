import { readdirSync } from 'node:fs';
import path from 'node:path';

import { JobStore } from 'holdfast';
import type { JobFields, JobStoreOptions } from 'holdfast';

import { withTemporaryDirectory } from './temporary-directory.js';

/** A store in a directory of its own, which it has to make. */
export async function withStore<Job extends JobFields = JobFields & Record<string, unknown>>(
  use: (store: JobStore<Job>, directory: string) => Promise<void>,
  options: JobStoreOptions = {},
): Promise<void> {
  await withTemporaryDirectory(async (parent) => {
    const store = new JobStore<Job>(path.join(parent, 'store'), options);
    await use(store, store.directory);
  });
}

/** The files of the jobs, without those of the store itself. */
export function jobFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .sort();
}

export function logOf(directory: string, name: string): string {
  const log = jobFiles(directory).find(
    (file) => file.startsWith(`${name}.`) && file.endsWith('.log'),
  );
  if (log === undefined) throw new Error(`There is no log of ${name}`);
  return path.join(directory, log);
}

/** What is locked to change the one job that there is. */
export function lockTargetIn(directory: string): string {
  const [lockFile, ...others] = readdirSync(directory).filter((name) => name.endsWith('.lock'));
  const [, target] = /^\.(.*)\.lock$/.exec(lockFile ?? '') ?? [];
  if (target === undefined || others.length > 0) throw new Error('There is not one lock file');
  return path.join(directory, target);
}
