import { utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { fakedClock } from './helpers/faked-clock.js';
import { has } from './helpers/capabilities.js';
import { hang } from './helpers/hung-holder.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ttl = 1000;

test('a lock file that claims to be from 1970 robs nobody who lives, and saves nobody who hangs', async () => {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      const holder = await agents.process();
      const held = await holder.lock(target, { ttl });
      utimesSync(held.lockPath, 0, 0);
      await expect(lock(target, { timeout: 2 * ttl })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      await held.verify();

      const resume = await hang(holder, directory);
      utimesSync(held.lockPath, 0, 0);
      const next = await lock(target, { timeout: 60_000 });
      expect(next.previousHolder).toMatchObject({ pid: holder.pid });
      resume();
      await held.loss();
      await next.release();
    }),
  );
});

test.runIf(has('fakedClock'))(
  'a wall clock that is set forwards and backwards robs nobody, on either side',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const clock = path.join(directory, 'clock');
        writeFileSync(clock, '+0');
        const env = fakedClock(clock);
        const [holder, waiter] = [await agents.process({ env }), await agents.process({ env })];
        const held = await holder.lock(target, { ttl });
        const before = await holder.call<number>('now');
        const waiting = waiter.lock(target, { timeout: 4 * ttl }).catch((error: unknown) => error);
        for (const step of ['+1d', '-400d', '+0']) {
          writeFileSync(clock, step);
          await expect(lock(target, { timeout: ttl })).rejects.toMatchObject({
            code: 'ETIMEDOUT',
          });
          const day = 86_400_000;
          if (step === '+1d')
            expect((await holder.call<number>('now')) - before).toBeGreaterThan(day / 2);
        }
        expect(await waiting).toMatchObject({ code: 'ETIMEDOUT' });
        await held.verify();

        // Nor does it save one that hangs.
        const resume = await hang(holder, directory);
        writeFileSync(clock, '-400d');
        const next = await waiter.lock(target, { timeout: 60_000 });
        expect(next.previousHolder).toMatchObject({ pid: holder.pid });
        resume();
        await held.loss();
        await next.release();
      }),
    );
  },
);
