import path from 'node:path';

import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, ms, printFigure, quantile } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const rounds = atScale(1500, 100);
/** What the p99 may exceed a bare timer's by; generous, since it depends on what else the machine does. */
const allowance = 250;

/** How late a promise settles that should do so `delay` milliseconds from now. */
async function lateness(delay: number, start: () => Promise<unknown>): Promise<number> {
  const due = performance.now() + delay;
  await start().catch(() => undefined);
  return performance.now() - due;
}

const bareTimer = (delay: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, delay);
  });

test(
  'a wait that times out or is aborted settles as soon as a timer does',
  () =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const held = await (await agents.process()).lock(target);
        const abort = (delay: number): Promise<unknown> => {
          const controller = new AbortController();
          setTimeout(() => controller.abort(), delay);
          return lock(target, { signal: controller.signal });
        };
        const ways: Record<string, (delay: number) => Promise<unknown>> = {
          'a bare timer': bareTimer,
          'the timeout of a wait': (timeout) => lock(target, { timeout }),
          'the abort of a wait': abort,
        };
        const samples = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
        for (let round = 0; round < rounds; round++) {
          const delay = 1 + (round % 10);
          for (const [name, start] of Object.entries(ways)) {
            samples.get(name)?.push(await lateness(delay, () => start(delay)));
          }
        }
        await held.release();

        const p99 = new Map([...samples].map(([name, values]) => [name, quantile(values, 0.99)]));
        for (const [name, values] of samples) {
          printFigure(
            `${name} settles late by: median ${ms(quantile(values, 0.5))}, ` +
              `p99 ${ms(quantile(values, 0.99))}, at most ${ms(Math.max(...values))} (${rounds} rounds)`,
          );
        }
        const bare = p99.get('a bare timer') ?? 0;
        expect(p99.get('the timeout of a wait')).toBeLessThan(bare + allowance);
        expect(p99.get('the abort of a wait')).toBeLessThan(bare + allowance);
      }),
    ),
  limitAtScale(30_000),
);
