// `timeout` and `signal`, which proper-lockfile does not know: the kernel ends the wait.
import { existsSync, mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, lockSync } from 'holdfast/proper-lockfile';
import type { LockOptions } from 'holdfast/proper-lockfile';
import { expect, test } from 'vitest';

import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import { namesIn, withLockfileTarget } from '../helpers/lockfile-target.js';
import { mustBlock } from '../helpers/must-block.js';

test('waits are granted one after the other when the holder releases', () =>
  withLockfileTarget(async ({ file, place }) => {
    const release = await lock(file);
    let inside = 0;
    const waits = [1, 2, 3].map(async () => {
      const next = await lock(file, { timeout: 30_000 });
      inside++;
      expect(inside).toBe(1);
      await sleep(5);
      inside--;
      await next();
    });
    const all = await mustBlock(Promise.all(waits), 'three waits');
    await release();
    await all();
    expect(namesIn(place)).toEqual(['file']);
  }));

test('a wait is granted when the holder, another process, is killed', () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file }) => {
      const holder = await start('ours');
      await holder.lock(file, { stale: 2000 });
      const waiting = await mustBlock(lock(file, { timeout: 30_000, stale: 2000 }), 'a wait');
      await holder.end('SIGKILL');
      await (
        await waiting()
      )();
    }),
  ));

test('a synchronous wait is granted when the holder, another process, releases', () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file }) => {
      const holder = await start('ours');
      const waiter = await start('ours');
      const number = await holder.lock(file);
      const waiting = await mustBlock(waiter.lockSync(file, { timeout: 30_000 }), 'a wait');
      await holder.release(number);
      await waiter.release(await waiting());
    }),
  ));

test('a timeout ends the wait with ETIMEDOUT and who holds the lock', () =>
  withLockfileTarget(async ({ file }) => {
    const release = await lock(file);
    const timedOut = { code: 'ETIMEDOUT', holder: { pid: process.pid, self: true } };
    await expect(lock(file, { timeout: 30 })).rejects.toMatchObject(timedOut);
    await expect(lock(file, { timeout: 0 })).rejects.toMatchObject(timedOut);
    expect(() => lockSync(file, { timeout: 30 })).toThrow(
      expect.objectContaining({ code: 'EDEADLK' }) as Error,
    );
    await release();
    await (
      await lock(file, { timeout: 0 })
    )();
  }));

test('a signal ends the wait with its reason, behind the kernel lock and behind a directory', () =>
  withLockfileTarget(async ({ place, file, lockfile }) => {
    const reason = new Error('no longer needed');
    await expect(lock(file, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const release = await lock(file);
    for (const giveBack of [release, undefined]) {
      const controller = new AbortController();
      const waiting = await mustBlock(lock(file, { signal: controller.signal }), 'a wait');
      controller.abort(reason);
      await expect(waiting()).rejects.toBe(reason);
      await giveBack?.();
      if (!existsSync(lockfile)) mkdirSync(lockfile);
    }
    expect(namesIn(place)).toEqual(['file', 'file.lock']);
  }));

const mistakes: { options: LockOptions; problem: RegExp }[] = [
  {
    options: { timeout: 10, retries: 1 },
    problem: /'timeout' does not go together with 'retries'/,
  },
  {
    options: { signal: AbortSignal.abort(), retries: {} },
    problem: /'signal' does not go .* 'retries'/,
  },
  { options: { timeout: 10, fs: {} }, problem: /'timeout' does not go together with 'fs'/ },
  { options: { timeout: -1 }, problem: /option 'timeout' must be 0 or more milliseconds, got -1/ },
  { options: { timeout: '5' as unknown as number }, problem: /option 'timeout' must be a number/ },
  { options: { signal: {} as AbortSignal }, problem: /option 'signal' must be an AbortSignal/ },
];

test.each(mistakes)('$problem', ({ options, problem }) =>
  withLockfileTarget(async ({ place, file }) => {
    await expect(lock(file, options)).rejects.toThrow(problem);
    expect(namesIn(place)).toEqual(['file']);
  }),
);

test('a signal does not apply to the synchronous form', () => {
  const options = { signal: AbortSignal.abort() } as LockOptions;
  expect(() => lockSync('file', options)).toThrow(/option 'signal' does not apply to lockSync/);
});
