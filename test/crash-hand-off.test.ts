import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import type { AgentLock } from './helpers/agent-lock.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale, limitAtScale, ms, printFigure, quantile } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test(
  'when the holder is killed, the one who waits gets the lock and is told of the dead process',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const handOffs: number[] = [];
        for (let round = 0; round < atScale(200, 5); round++) {
          const holder = await agents.process();
          const held = await holder.lock(target, { session: `round-${round}` });
          const granted = await mustBlock(lock(target), 'a lock whose holder lives');

          const killedAt = performance.now();
          holder.kill('SIGKILL');
          const next = await granted();
          handOffs.push(performance.now() - killedAt);

          expect(next.previousHolder).toMatchObject({
            pid: holder.pid,
            session: `round-${round}`,
            token: held.token,
            self: false,
          });
          expect(next.token).toBe((held.token ?? NaN) + 1);
          await next.release();
          expect(await holder.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
          // It is told once.
          const later = await lock(target);
          expect(later.previousHolder).toBeNull();
          await later.release();
        }
        printHandOffs('one waiter', handOffs);
      }),
    );
  },
  limitAtScale(30_000),
);

test('the death of a process that waits takes the lock from nobody and holds nobody up', async () => {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      const held = await lock(target);
      const [first, second] = [await agents.process(), await agents.process()];
      const lost = await mustBlock(first.lock(target), 'the wait of the first');
      const granted = await mustBlock(second.lock(target), 'the wait of the second');
      first.kill('SIGKILL');
      await expect(lost()).rejects.toThrow('ended without');
      expect(await first.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
      const stillBlocked = await mustBlock(granted(), 'the wait of the second');
      held.verify();
      await held.release();
      const next = await stillBlocked();
      expect(next.previousHolder).toBeNull();
      await next.release();
    }),
  );
});

const waiters = 50;

test.each([
  ['exclusive', false],
  ['shared', true],
])(
  'when the holder is killed while 50 wait (%s) in several processes, all of them get the lock and one is told',
  async (mode, shared) => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const handOffs: number[] = [];
        for (let round = 0; round < atScale(10, 1); round++) {
          handOffs.push(await killWhileManyWait(agents, target, shared));
        }
        printHandOffs(`${waiters} waiters, ${mode}`, handOffs);
      }),
    );
  },
  limitAtScale(30_000),
);

/** Hands back how long it took until the first of the waiters had the lock. */
async function killWhileManyWait(
  agents: LockAgents,
  target: string,
  shared: boolean,
): Promise<number> {
  const count = atScale(waiters, 5);
  const others = await Promise.all(Array.from({ length: count }, () => agents.process()));
  const holder = await agents.process();
  await holder.lock(target);

  const granted: AgentLock[] = [];
  let firstAt: number | undefined;
  const waits = Array.from({ length: waiters }, async (_, index) => {
    const held = await others[index % count]?.lock(target, { shared });
    if (held === undefined) throw new RangeError('There is no such process');
    firstAt ??= performance.now();
    granted.push(held);
    // Exclusive locks are held one after the other, shared ones all at once.
    if (!shared) {
      expect(await tryLock(target, { shared: true })).toBeNull();
      await held.release();
    }
  });
  const allServed = await mustBlock(Promise.all(waits), 'fifty locks whose holder lives');
  expect(granted).toEqual([]);

  const killedAt = performance.now();
  holder.kill('SIGKILL');
  await allServed();
  const told = granted.filter(({ previousHolder }) => previousHolder !== null);
  expect(told.map(({ previousHolder }) => previousHolder?.pid)).toEqual([holder.pid]);
  expect(new Set(granted.map(({ token }) => token)).size).toBe(shared ? 1 : waiters);

  await Promise.all(granted.map((held) => held.release()));
  const later = await lock(target);
  expect(later.previousHolder).toBeNull();
  await later.release();
  expect(await holder.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
  await Promise.all(others.map((agent) => agent.exit()));
  return (firstAt ?? NaN) - killedAt;
}

function printHandOffs(what: string, handOffs: readonly number[]): void {
  printFigure(
    `hand-off from a killed holder, ${what}: median ${ms(quantile(handOffs, 0.5))}, ` +
      `longest ${ms(Math.max(...handOffs))} of ${handOffs.length}`,
  );
}
