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

test('a Buffer of any length is replaced in one job off this thread, and in none by the synchronous form', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    for (const length of [0, 1, 100_000, 5_000_000]) {
      for (const options of [{}, { durability: 'full' }, { copyFallback: 'always' }] as const) {
        const data = Buffer.alloc(length, 'n');
        expect(await jobsDuring(() => replaceFile(file, data, options))).toHaveLength(1);
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
