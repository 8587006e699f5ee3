import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { JobAgent } from './helpers/job-agent.js';
import { withStore } from './helpers/job-store.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';

interface Traffic {
  bytes: number;
  calls: number;
}

// Counted, and not timed: what a process reads and writes for one line, as the kernel tells it.
test.runIf(has('proc'))(
  'a line costs the same in a long log as in a short one, and among many jobs as among few',
  async () => {
    await withStore(async (store, directory) => {
      await withChildren(async (children) => {
        const agent = await JobAgent.start(children, directory);
        const cost = async (id: string): Promise<Traffic> =>
          (await agent.call('costOfLine', id)).value as Traffic;
        const first = await cost('a');

        const lines = atScale(100_000, 20_000);
        for (let done = 0; done < lines; done += 10_000) {
          await store.update(
            'a',
            {},
            { log: Array.from({ length: 10_000 }, () => 'x'.repeat(50)) },
          );
        }
        const inLongLog = await cost('a');

        const jobs = atScale(10_000, 500);
        for (let done = 0; done < jobs; done += 100) {
          await Promise.all(
            Array.from({ length: 100 }, (_, at) => store.appendLog(`job ${done + at}`, 'line')),
          );
        }
        const amongMany = await cost('b');
        printFigure(
          `a line costs ${first.bytes} bytes in ${first.calls} reads and writes; in a log of ${lines} lines ` +
            `${inLongLog.bytes} in ${inLongLog.calls}; among ${jobs} jobs ${amongMany.bytes} in ${amongMany.calls}`,
        );
        expect(first.bytes).toBeGreaterThan(50);
        for (const later of [inLongLog, amongMany]) {
          // The numbers in the state have more digits.
          expect(later.bytes).toBeLessThan(first.bytes + 100);
          expect(later.calls).toBeLessThanOrEqual(first.calls + 2);
        }
        // So does reading the last lines cost nothing of those before.
        const job = await store.read('a', { logs: { last: 3 } });
        expect(job?.log_lines).toBeGreaterThan(lines);
        expect(job?.logs).toHaveLength(3);
      });
    });
  },
  limitAtScale(30_000),
);
