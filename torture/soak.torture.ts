import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { has } from '../test/helpers/capabilities.js';
import { withChildren } from '../test/helpers/child.js';
import type { Child } from '../test/helpers/child.js';
import { descriptorCount, residentMemory, threadCount } from '../test/helpers/process-figures.js';
import { quantile } from '../test/helpers/scale.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import { report } from './campaign.js';
import { seed, share, soak, timeLimit } from './plan.js';

const processes = 64;
const files = 10_000;
const looks = 10;
const patience = 120_000;
// What each process may have more of at the end than when it had warmed up: waits come and go.
const moreDescriptors = 8;
const moreThreads = 4;
const moreMemory = 16 * 1024 * 1024;

interface Figures {
  descriptors: number;
  threads: number;
  memory: number;
}

test.runIf(soak && has('proc'))(
  `${processes} processes lock ${files} files, and what they need does not grow`,
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withChildren(async (children) => {
        for (let number = 0; number < 100; number++) {
          mkdirSync(path.join(directory, 'files', `${number}`), { recursive: true });
        }
        const stopFile = path.join(directory, 'stop');
        const program = path.join(import.meta.dirname, 'soak-client.mjs');
        const start = (number: number) =>
          children.fork(program, {
            args: [path.join(directory, 'files'), `${files}`, `${seed + number}`, stopFile],
            // So that what V8 keeps for itself does not look like growth.
            execArgv: ['--max-semi-space-size=1', '--max-old-space-size=64'],
          });
        const clients = Array.from({ length: processes }, (_, number) => start(number));
        for (const client of clients) await client.waitForMessage('ready', patience);
        const seen: Figures[] = [];
        for (let look = 1; look <= looks; look++) {
          await sleep(share(1) / looks);
          seen.push(figuresOf(clients));
          report('soak', rowOf(look, seen.at(-1)));
        }
        writeFileSync(stopFile, '');
        let [counted, locked] = [0, 0];
        for (const client of clients) {
          const done = await client.waitForMessage('done', patience);
          counted += Number(done.counted);
          locked += Number(done.locked);
          expect(await client.waitForExit(patience)).toEqual({ code: 0, signal: null });
        }
        report('soak, in all', { locked, counted, found: countIn(path.join(directory, 'files')) });
        expect(countIn(path.join(directory, 'files')), 'no update was lost').toBe(counted);
        // The first looks are at processes that warm up.
        const [before, after] = [seen[2], seen.at(-1)];
        if (before === undefined || after === undefined) throw new Error('nobody looked');
        expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + moreDescriptors);
        expect(after.threads).toBeLessThanOrEqual(before.threads + moreThreads);
        expect(after.memory).toBeLessThanOrEqual(before.memory + moreMemory);
      }),
    );
  },
  timeLimit,
);

/** The median of all processes. */
function figuresOf(clients: readonly Child[]): Figures {
  const median = (look: (pid: number) => number) =>
    quantile(
      clients.map(({ pid }) => look(pid)),
      0.5,
    );
  return {
    descriptors: median(descriptorCount),
    threads: median(threadCount),
    memory: median(residentMemory),
  };
}

function rowOf(look: number, figures: Figures | undefined): Record<string, unknown> {
  const minutes = ((share(1) / looks / 60_000) * look).toFixed(1);
  const memory = figures && `${Math.round(figures.memory / 1024)} KiB`;
  return { 'after minutes': minutes, ...figures, memory };
}

function countIn(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /^\d+$/.test(entry.name))
    .map((entry) => Number(readFileSync(path.join(entry.parentPath, entry.name), 'utf8')))
    .reduce((sum, count) => sum + count, 0);
}
