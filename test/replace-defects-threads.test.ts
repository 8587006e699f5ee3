import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { expect, test } from 'vitest';

import { runNode } from './helpers/child.js';
import { fixturesDirectory } from './helpers/paths.js';
import { expectFile } from './helpers/replaced-file.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Each of these loses data, secrets or the process with one package or another that replaces files.

test(
  'threads that write at once do not mix their bytes, and none of them fails',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const threads = 4;
      const writes = atScale(2000, 200);
      const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { replaceFile, replaceFileSync } = require('holdfast');
      const { directory, thread, writes } = workerData;
      (async () => {
        for (let n = 0; n < writes; n++) {
          const file = 'file-' + (n % 3);
          const data = (file + ' ' + thread + ' ').repeat(500 + n % 7);
          const options = { durability: 'none' };
          if (n % 2) replaceFileSync(directory + '/' + file, data, options);
          else await replaceFile(directory + '/' + file, data, options);
        }
        parentPort.postMessage('done');
      })();`;
      const workers = Array.from(
        { length: threads },
        (_, thread) =>
          new Worker(program, {
            eval: true,
            workerData: { directory, thread, writes },
            execArgv: [],
          }),
      );
      try {
        const state = { running: true };
        const done = Promise.all(
          workers.map(async (worker) => {
            const [message] = (await once(worker, 'message')) as [string];
            expect(message).toBe('done');
          }),
        ).finally(() => (state.running = false));
        let reads = 0;
        while (state.running) {
          for (const file of ['file-0', 'file-1', 'file-2']) {
            const text = await readFile(path.join(directory, file), 'utf8').catch(() => '');
            const unit = text.slice(0, 9);
            if (text !== '') expect(unit).toMatch(new RegExp(`^${file} [0-3] $`));
            expect(text === unit.repeat(text.length / 9)).toBe(true);
            reads++;
          }
          await sleep(0);
        }
        await done;
        expect((await readdir(directory)).sort()).toEqual(['file-0', 'file-1', 'file-2']);
        printFigure(`${threads} threads × ${writes} writes, ${reads} reads: no mixture, no error`);
      } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    });
  },
  limitAtScale(30_000),
);

test(
  'threads that are terminated in the middle do not take the process with them, and leave nothing',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const program = path.join(fixturesDirectory, 'terminate-replacing-workers.cjs');
      const rounds = atScale(500, 20);
      const { code, signal, stderr } = await runNode([program, target, String(rounds)], {
        timeout: limitAtScale(20_000),
      });
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
      await expectFile(target, { contents: 'whole' });
      expect(await readdir(directory)).toEqual(['data']);
    });
  },
  limitAtScale(30_000),
);
