import path from 'node:path';

import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { atScale, limitAtScale, ms, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const count = atScale(10_000, 1000);

test.runIf(has('proc'))(
  `${count} callers of one lock, shared and exclusive mixed, are served first come, first served by one thread`,
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'file');
        const held = await lock(target);
        const child = children.fork('many-waiters.mjs', {
          execArgv: ['--expose-gc'],
          args: [target, String(count), '20011'],
        });
        await child.waitForMessage('queued', limitAtScale(20_000));
        await held.release();
        child.send('released');
        const served = await child.waitForMessage('served', limitAtScale(20_000));
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });

        const [before = 0, during = 0, after = 0] = served.threads as number[];
        printFigure(
          `${count} waiters: queued in ${ms(served.queueing as number)}, ` +
            `served in ${ms(served.serving as number)}, ` +
            `${(served.memoryPerWaiter as number).toFixed(0)} bytes each; ` +
            `threads before, while and after: ${before}, ${during}, ${after}`,
        );
        expect(served.order).toEqual(Array.from({ length: count }, (_, index) => index));
        expect(served.conflicts).toEqual([]);
        // A whole run of shared callers was inside at once: no caller of it left before the last came.
        expect(served.mostTogether).toBe(served.longestRun);
        expect(during - before).toBeLessThanOrEqual(1);
        expect(after - before).toBeLessThanOrEqual(1);
      }),
    ),
);
