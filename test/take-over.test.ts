import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock, lockSync, tryLock, withLock } from 'holdfast';
import type { HoldfastEvents } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { hang } from './helpers/hung-holder.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale, limitAtScale, ms, printFigure, quantile } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ttl = 300;

/** A holder with a ttl whose event loop stands still, and the way to let it turn again. */
async function hungHolder(agents: LockAgents, directory: string, target: string) {
  const agent = await agents.process();
  const held = await agent.lock(target, { ttl });
  return { agent, held, resume: await hang(agent, directory) };
}

async function withTarget(
  use: (agents: LockAgents, target: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      writeFileSync(target, 'old');
      await use(agents, target, directory);
    }),
  );
}

test.runIf(has('sameStartTime'))(
  'a hung holder is replaced exactly once, finds out, and none of its late writes lands',
  async () => {
    await withTarget(async (agents, target, directory) => {
      const waiters: ProcessAgent[] = [];
      while (waiters.length < atScale(50, 6)) waiters.push(await agents.process());
      const holder = await agents.process();
      const taken: number[] = [];
      // Under Wine a process, and a word to it, costs many times what it costs elsewhere.
      for (let round = 0; round < atScale(has('signals') ? 500 : 50, 3); round++) {
        taken.push(await replaceHungHolder(holder, waiters, target, directory));
      }
      const takeOvers = await Promise.all(waiters.map(countTakeOvers));
      expect(takeOvers.reduce((sum, count) => sum + count, 0)).toBe(taken.length);
      printFigure(
        `take-over from a hung holder (ttl ${ttl} ms), ${waiters.length} waiting processes: ` +
          `median ${ms(quantile(taken, 0.5))}, longest ${ms(Math.max(...taken))} of ${taken.length}`,
      );
    });
  },
  limitAtScale(60_000),
);

async function countTakeOvers(agent: ProcessAgent): Promise<number> {
  return (await agent.events('taken_over')).length;
}

async function replaceHungHolder(
  holder: ProcessAgent,
  waiters: readonly ProcessAgent[],
  target: string,
  directory: string,
): Promise<number> {
  writeFileSync(target, 'old');
  const held = await holder.lock(target, { ttl });
  const finishUpdate = await holder.update(`${target}-2`, 'late', { ttl });
  const resume = await hang(holder, directory);
  const startedAt = performance.now();
  let firstAt: number | undefined;
  const tokens: (number | null)[] = [];
  let inside = 0;
  const serveAll = async (path: string, contents: string) =>
    Promise.all(
      waiters.map(async (waiter) => {
        const next = await waiter.lock(path, { ttl: 60_000 });
        inside++;
        expect(inside).toBe(1);
        firstAt ??= performance.now();
        tokens.push(next.token);
        await next.replaceFile(contents);
        inside--;
        await next.release();
      }),
    );
  await serveAll(target, 'new');
  expect(new Set([held.token, ...tokens]).size).toBe(waiters.length + 1);
  const second = await lock(`${target}-2`, { timeout: 60_000 });
  await second.replaceFile('new');
  await second.release();

  resume();
  expect(await held.loss()).toMatchObject({ code: 'ECOMPROMISED', path: held.lockPath });
  expect(await held.state()).toMatchObject({ held: false, lost: true });
  await expect(held.verify()).rejects.toMatchObject({ code: 'ECOMPROMISED' });
  await expect(held.replaceFile('late')).rejects.toMatchObject({ code: 'ECOMPROMISED' });
  await expect(finishUpdate()).rejects.toMatchObject({ code: 'ECOMPROMISED' });
  expect(readFileSync(target, 'utf8')).toBe('new');
  expect(readFileSync(`${target}-2`, 'utf8')).toBe('new');
  // Releasing what was lost takes nothing from anybody.
  await held.release();
  return (firstAt ?? NaN) - startedAt;
}

test.runIf(has('sameStartTime'))(
  'the one who takes over is told whom from, and both are told of on the channels',
  async () => {
    await withTarget(async (agents, target, directory) => {
      const events: HoldfastEvents['taken_over'][] = [];
      const listener = (event: unknown): void => {
        events.push(event as HoldfastEvents['taken_over']);
      };
      subscribe('holdfast:taken_over', listener);
      try {
        const { agent, held, resume } = await hungHolder(agents, directory, target);
        const next = await lock(target);
        expect(next.previousHolder).toMatchObject({ pid: agent.pid, token: held.token });
        expect(next.token).toBeGreaterThan(held.token ?? NaN);
        expect(next.held).toBe(true);
        expect(events).toEqual([
          {
            target,
            lockPath: held.lockPath,
            token: next.token,
            previousHolder: next.previousHolder,
          },
        ]);
        resume();
        await held.loss();
        expect(await agent.events('lost')).toContainEqual({
          event: 'lost',
          data: { target, lockPath: held.lockPath, token: held.token, reason: 'taken-over' },
        });
        next.verify();
        await next.release();
        // It was told once.
        const later = await lock(target);
        expect(later.previousHolder).toBeNull();
        await later.release();
      } finally {
        unsubscribe('holdfast:taken_over', listener);
      }
    });
  },
);

test.runIf(has('sameStartTime'))('shared waiters and blocking ones take over as well', async () => {
  await withTarget(async (agents, target, directory) => {
    const first = await hungHolder(agents, directory, target);
    const [one, other] = await Promise.all([
      lock(target, { shared: true }),
      lock(target, { shared: true }),
    ]);
    const told = [one, other].filter(({ previousHolder }) => previousHolder !== null);
    expect(told.map(({ previousHolder }) => previousHolder?.pid)).toEqual([first.agent.pid]);
    expect(await tryLock(target)).toBeNull();
    await one.release();
    await other.release();

    const second = await hungHolder(agents, directory, target);
    const blocking = lockSync(target, { timeout: 60_000 });
    expect(blocking.previousHolder).toMatchObject({ pid: second.agent.pid });
    expect(blocking.token).toBeGreaterThan(second.held.token ?? NaN);
    blocking.releaseSync();
    first.resume();
    second.resume();
    await second.held.loss();
  });
});

test.runIf(has('sameStartTime'))(
  'withLock rejects whatever its function returned, if the lock was taken over meanwhile',
  async () => {
    await withTarget(async (agents, target, directory) => {
      const waiter = await agents.process();
      const granted: Promise<unknown>[] = [];
      const done = withLock(target, { ttl }, async () => {
        granted.push(waiter.lock(target));
        // This very event loop stands still.
        const { resume } = await hungHolder(agents, directory, `${target}-other`);
        const until = performance.now() + 5 * ttl;
        while (performance.now() < until) {
          // busy
        }
        resume();
        await granted[0];
        return 'a result';
      });
      await expect(done).rejects.toMatchObject({ code: 'ECOMPROMISED' });
    });
  },
);

test('a holder without a ttl, a shared one, and one whose event loop turns are never robbed', async () => {
  await withTarget(async (agents, target, directory) => {
    const lastWithTtl = await lock(target, { ttl });
    await lastWithTtl.release();

    const plain = await agents.process();
    const held = await plain.lock(target);
    const resumePlain = await hang(plain, directory);
    const timeout = 3 * ttl;
    await expect(lock(target, { ttl, timeout })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    resumePlain();
    await held.verify();
    await held.release();

    // The record that a shared holder finds names the ttl of the one before.
    const before = await lock(target, { ttl });
    await before.release();
    const reader = await plain.lock(target, { shared: true });
    const resumeReader = await hang(plain, directory);
    await expect(lock(target, { ttl, timeout })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    resumeReader();
    await reader.verify();
    await reader.release();

    const alive = await plain.lock(target, { ttl: 1500 });
    await expect(lock(target, { ttl, timeout: 3000 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await alive.verify();
    await alive.release();
  });
});

test('the death of a holder with a ttl frees its lock at once, as any other', async () => {
  await withTarget(async (agents, target) => {
    const holder = await agents.process();
    await holder.lock(target, { ttl: 600_000 });
    const granted = await mustBlock(lock(target), 'a lock whose holder lives');
    holder.kill('SIGKILL');
    const next = await granted();
    expect(next.previousHolder).toMatchObject({ pid: holder.pid });
    await next.release();
  });
});
