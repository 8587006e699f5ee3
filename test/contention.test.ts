import { once } from 'node:events';
import { readFile, readdir, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { fixturesDirectory } from './helpers/paths.js';
import { atScale } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const forms = ['async', 'sync', 'context'];

async function withCounter(use: (file: string) => Promise<number>): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'counter');
    await writeFile(file, '0');
    const expected = await use(file);
    expect(Number(await readFile(file, 'utf8'))).toBe(expected);
    expect(await readdir(directory)).toEqual(['.counter.lock', 'counter']);
  });
}

test('processes that hammer one path never overlap and lose no update, in whatever form they lock', () =>
  withCounter((file) =>
    withChildren(async (children) => {
      const processes = 8;
      const rounds = atScale(2000, 100);
      const running = Array.from({ length: processes }, (_none, index) =>
        children.fork('increment.mjs', {
          args: [file, String(rounds), forms[index % forms.length] ?? ''],
        }),
      );
      for (const child of running) {
        expect(await child.waitForExit(atScale(120_000, 25_000))).toEqual({
          code: 0,
          signal: null,
        });
      }
      return processes * rounds;
    }),
  ));

test('workers and the main thread of one process exclude each other', () =>
  withCounter(async (file) => {
    const rounds = atScale(1000, 50);
    const workers = Array.from(
      { length: 6 },
      (_none, index) =>
        new Worker(path.join(fixturesDirectory, 'increment.mjs'), {
          workerData: [file, rounds, forms[index % forms.length]],
        }),
    );
    try {
      const ends = Promise.all(workers.map((worker) => once(worker, 'exit')));
      for (let round = 0; round < rounds; round++) {
        const held = await lock(file);
        await writeFile(`${file}.occupied`, '', { flag: 'wx' });
        await writeFile(file, String(Number(await readFile(file, 'utf8')) + 1));
        await unlink(`${file}.occupied`);
        await held.release();
      }
      expect(await ends).toEqual(workers.map(() => [0]));
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    return 7 * rounds;
  }));

test('a hundred callers of one thread, each with a lock of its own, take turns', () =>
  withCounter(async (file) => {
    let inside = 0;
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const held = await lock(file);
        expect(++inside).toBe(1);
        await writeFile(file, String(Number(await readFile(file, 'utf8')) + 1));
        inside--;
        await held.release();
      }),
    );
    return 100;
  }));
