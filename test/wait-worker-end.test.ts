import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { atScale, limitAtScale, ms, printFigure, quantile, stress } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const rounds = atScale(200, 1);
/** What "at once" is at the very most, on a machine that has much else to do. */
const atOnce = 5000;

const summary = (durations: readonly number[]): string =>
  `median ${ms(quantile(durations, 0.5))}, at most ${ms(Math.max(...durations))} (${durations.length} times)`;

test.runIf(has('proc'))(
  `a worker that waits or holds ends at once, whatever ends it (${rounds} times each)`,
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const child = children.fork('worker-endings.mjs', { args: [directory, String(rounds)] });
        const done = child.waitForMessage('done', limitAtScale(50_000));
        const { scenarios, before, after } = await done;
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect(child.stderr).toBe('');

        const all: number[] = [];
        for (let index = 0; index < (scenarios as number); index++) {
          const message = await child.waitForMessage('scenario');
          const durations = message.durations as number[];
          all.push(...durations);
          if (stress) printFigure(`${String(message.scenario)}: ${summary(durations)}`);
          expect([message.scenario, message.problems]).toEqual([message.scenario, []]);
        }
        printFigure(`a worker's end, in ${String(scenarios)} ways: ${summary(all)}`);
        expect(Math.max(...all)).toBeLessThan(atOnce);
        printFigure(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
        expect(after).toMatchObject({
          descriptors: (before as { descriptors: number }).descriptors,
        });
      }),
    ),
  limitAtScale(60_000),
);
