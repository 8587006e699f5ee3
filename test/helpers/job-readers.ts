import { expect } from 'vitest';

import { withChildren } from './child.js';
import type { Children } from './child.js';
import { limitAtScale } from './scale.js';

/** What readers have seen, none of it torn. */
export interface JobReads {
  reads: number;
  completed: number;
  failed: number;
}

/**
 * Runs `use` while two processes read the jobs `ids` again and again and look whether each is whole: job-reader.mjs says
 * what that means.
 */
export async function withJobReaders<T>(
  directory: string,
  ids: readonly string[],
  use: (children: Children) => Promise<T>,
): Promise<{ value: T; reads: JobReads }> {
  return withChildren(async (children) => {
    const readers = [1, 2].map(() =>
      children.fork('job-reader.mjs', { args: [directory, ...ids] }),
    );
    for (const reader of readers) await reader.waitForMessage('ready');
    for (const reader of readers) reader.send('go');
    // One that finds a job that is not whole ends at once.
    const ends = Promise.all(
      readers.map(async (reader) => {
        const message = await reader.waitForMessage('read', limitAtScale(80_000));
        expect(await reader.waitForExit()).toEqual({ code: 0, signal: null });
        return message as unknown as JobReads;
      }),
    );
    const using = use(children).finally(() => {
      for (const reader of readers) if (reader.process.connected) reader.send('stop');
    });
    const [value, found] = await Promise.all([using, ends]);
    return { value, reads: sum(found) };
  });
}

export function sum(found: readonly JobReads[]): JobReads {
  const total = { reads: 0, completed: 0, failed: 0 };
  for (const { reads, completed, failed } of found) {
    total.reads += reads;
    total.completed += completed;
    total.failed += failed;
  }
  return total;
}
