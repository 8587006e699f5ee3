import { createHook } from 'node:async_hooks';
import path from 'node:path';

import { replaceFile, replaceFileSync } from 'holdfast';
import { expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** What the engine makes for itself, to print for instance; a job of an addon has another type. */
const engine = new Set([
  ...['PROMISE', 'TickObject', 'Immediate', 'Timeout', 'Microtask', 'WRITEWRAP'],
]);

async function jobsDuring(use: () => unknown): Promise<string[]> {
  const jobs: string[] = [];
  const hook = createHook({
    init: (_id, type) => {
      if (!engine.has(type)) jobs.push(type);
    },
  }).enable();
  try {
    await use();
  } finally {
    hook.disable();
  }
  return jobs;
}

test('replaceFile makes one job off this thread when a Buffer has at most a MiB, and one for each MiB otherwise', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const begin = 1;
    const commit = 1;
    for (const [length, count] of [
      [0, 1],
      [1, 1],
      [1024 * 1024, 1],
      // Its memory is copied, so that nothing is used after it was transferred; but never all of it at once.
      [5_000_000, begin + 5 + commit],
    ] as const) {
      for (const options of [{}, { durability: 'full' }, { copyFallback: 'always' }] as const) {
        const data = Buffer.alloc(length, 'n');
        expect(await jobsDuring(() => replaceFile(file, data, options))).toHaveLength(count);
        expect(await jobsDuring(() => replaceFileSync(file, data, options))).toEqual([]);
      }
    }
  });
});

test('the chunks of a stream take a job each, and two more', async () => {
  await withTemporaryDirectory(async (directory) => {
    const chunks = ['one', 'two', 'three'];
    const jobs = await jobsDuring(() => replaceFile(path.join(directory, 'file'), chunks));
    expect(jobs).toHaveLength(chunks.length + 2);
  });
});
