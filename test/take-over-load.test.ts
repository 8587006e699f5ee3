import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ttl = 3000;

test(
  'a holder whose event loop turns is never robbed, however busy the machine is',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const holder = await agents.process();
        const waiters = await Promise.all([agents.process(), agents.process()]);
        const burners = Array.from({ length: 4 }, () =>
          agents.children.spawnNode([
            '-e',
            'process.on("disconnect", process.exit); for (;;) Math.random();',
          ]),
        );
        expect(burners).toHaveLength(4);
        const until = Date.now() + atScale(600_000, 6000);
        let rounds = 0;
        let voidRounds = 0;
        while (Date.now() < until) {
          const held = await holder.lock(target, { ttl });
          const end = Math.min(2 * ttl, Math.max(until - Date.now(), ttl));
          const lateness = holder.call<number>('lateness', end);
          const waits = waiters.map((waiter) =>
            waiter.lock(target, { timeout: end }).then(
              () => 'robbed',
              (error: unknown) => (error as { code?: string }).code,
            ),
          );
          const [outcomes, late] = [await Promise.all(waits), await lateness];
          rounds++;
          if (late > ttl / 2) {
            // The machine did not let it turn.
            voidRounds++;
          } else {
            expect(outcomes).toEqual(['ETIMEDOUT', 'ETIMEDOUT']);
            await held.verify();
            writeFileSync(target, '');
          }
          await held.release();
        }
        printFigure(
          `${rounds} rounds with a ttl of ${ttl} ms beside 4 busy processes: ${voidRounds} void, ` +
            'nobody robbed in the others',
        );
        expect(voidRounds).toBeLessThanOrEqual(Math.max(1, rounds / 100));
      }),
    );
  },
  limitAtScale(60_000),
);
