import { lookup } from 'node:dns/promises';
import { pbkdf2 } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { kernelWaiters, threadCount, until } from './helpers/process-figures.js';
import { atScale, limitAtScale, ms, printFigure, quantile } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const files = 8; // twice the threads of libuv's pool
const rounds = atScale(300, 30);
const callsPerRound = 10;
/** What the median may grow by; generous, since others use the machine as well. */
const mostGrowth = 2;

const deriveKey = promisify(pbkdf2);

test.runIf(has('proc'))(
  `with ${files} waits pending, other asynchronous work takes as long as without`,
  () =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const holder = await agents.process();
        const targets = Array.from({ length: files }, (_, n) => path.join(directory, `file-${n}`));
        const held = await Promise.all(targets.map((target) => holder.lock(target)));
        const inKernel = (count: number) => (): boolean =>
          held.every(({ lockPath }) => kernelWaiters(lockPath) === count);

        const data = path.join(directory, 'data');
        await writeFile(data, Buffer.alloc(16_384, 1));
        const work: Record<string, () => Promise<unknown>> = {
          'fs.readFile': () => readFile(data),
          'dns.lookup': () => lookup('localhost'),
          'crypto.pbkdf2': () => deriveKey('password', 'salt', 500, 32, 'sha512'),
        };
        // The pool's threads, and what is loaded at a first use.
        await Promise.all(
          Array.from({ length: 8 }, () => Object.values(work).map((call) => call())).flat(),
        );

        const samples = { without: new Map<string, number[]>(), with: new Map<string, number[]>() };
        const measure = async (into: Map<string, number[]>): Promise<void> => {
          // The same rest, and the same first calls after it, whatever came before.
          await sleep(5);
          for (const call of Object.values(work)) await call();
          for (const [name, call] of Object.entries(work)) {
            const durations = into.get(name) ?? [];
            into.set(name, durations);
            for (let index = 0; index < callsPerRound; index++) {
              const started = performance.now();
              await call();
              durations.push(performance.now() - started);
            }
          }
        };
        const growths: number[] = [];
        for (let round = 0; round < rounds; round++) {
          const before = threadCount();
          if (round % 2 === 0) await measure(samples.without);
          const controller = new AbortController();
          const waits = targets.map((target) => lock(target, { signal: controller.signal }));
          const outcomes = Promise.allSettled(waits);
          await until(inKernel(1), 'the waits to reach the kernel');
          growths.push(threadCount() - before);
          await measure(samples.with);
          controller.abort();
          await outcomes;
          await until(inKernel(0), 'the waits to leave the kernel');
          if (round % 2 === 1) await measure(samples.without);
        }
        await Promise.all(held.map((one) => one.release()));

        for (const name of Object.keys(work)) {
          const without = quantile(samples.without.get(name) ?? [], 0.5);
          const beside = quantile(samples.with.get(name) ?? [], 0.5);
          const ratio = beside / without;
          printFigure(
            `${name}: median ${ms(without)} without waits, ${ms(beside)} with ${files} ` +
              `(${ratio.toFixed(3)} times, ${rounds * callsPerRound} calls each)`,
          );
          expect(ratio).toBeLessThan(mostGrowth);
        }
        // The first round makes one thread for each file; two of them stay for the next.
        printFigure(`threads more with ${files} waits: ${growths[0]} at first`);
        expect(growths[0]).toBeLessThanOrEqual(files);
        expect(growths[0]).toBeGreaterThanOrEqual(files - 2);
        expect(Math.max(...growths)).toBeLessThanOrEqual(files);
      }),
    ),
  limitAtScale(30_000),
);
