// Processes on this package and processes on the published proper-lockfile, on one file.
import { existsSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock as kernelLock, tryLock } from 'holdfast';
import { check, lock, lockSync } from 'holdfast/proper-lockfile';
import { expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import type { LockfileAgent, Whose } from '../helpers/lockfile-agent.js';
import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import {
  leaveDirectory,
  withLockfileTarget,
  replaceDirectory,
} from '../helpers/lockfile-target.js';
import { mustBlock } from '../helpers/must-block.js';
import { isStopped, until } from '../helpers/process-figures.js';

const patience = { timeout: 60_000 };

/** Tries until the lock is granted, and hands back how long that took. */
async function takeOver(agent: LockfileAgent, file: string, stale: number): Promise<number> {
  const startedAt = performance.now();
  const retries = { retries: 3000, minTimeout: 10, maxTimeout: 10 };
  await agent.lock(file, { stale, retries });
  return performance.now() - startedAt;
}

const pairs: { holder: Whose; other: Whose }[] = [
  { holder: 'ours', other: 'theirs' },
  { holder: 'theirs', other: 'ours' },
  { holder: 'ours', other: 'ours' },
];

test.concurrent.for(pairs)(
  '$other finds the lock of $holder taken until it is released',
  patience,
  ({ holder: whoseHolder, other: whoseOther }) =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ place, file }) => {
        const holder = await start(whoseHolder);
        const other = await start(whoseOther);
        for (const name of [undefined, 'other', 'other.lock']) {
          const options = name === undefined ? {} : { lockfilePath: path.join(place, name) };
          const number = await holder.lock(file, options);
          expect(await other.check(file, options)).toBe(true);
          const busy = expect.objectContaining({ code: 'ELOCKED', file }) as Error;
          await expect(other.lock(file, options)).rejects.toThrow(busy);
          await expect(other.lockSync(file, options)).rejects.toThrow(busy);
          await holder.release(number);
          expect(await other.check(file, options)).toBe(false);
          await other.release(await other.lock(file, options));
        }
      }),
    ),
);

test.concurrent('a killed holder of ours: theirs have to wait for `stale`', patience, () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('ours');
      const other = await start('theirs');
      await holder.lock(file, { stale: 2000 });
      await holder.end('SIGKILL');
      const diedAt = statSync(lockfile).mtimeMs;
      await takeOver(other, file, 2000);
      expect(statSync(lockfile).mtimeMs - diedAt).toBeGreaterThan(1900);
      // The record of the dead one does not make ours believe that this is its directory.
      expect(await check(file)).toBe(true);
      await expect(lock(file)).rejects.toMatchObject({ code: 'ELOCKED' });
      await other.unlock(file);
      await (
        await lock(file)
      )();
    }),
  ),
);

test.concurrent('a killed holder of theirs: ours have to wait for `stale`', patience, () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('theirs');
      const other = await start('ours');
      await holder.lock(file, { stale: 2000 });
      await holder.end('SIGKILL');
      const diedAt = statSync(lockfile).mtimeMs;
      await takeOver(other, file, 2000);
      expect(statSync(lockfile).mtimeMs - diedAt).toBeGreaterThan(1900);
      await expect(lock(file)).rejects.toMatchObject({ code: 'ELOCKED' });
      await other.unlock(file);
      expect(existsSync(lockfile)).toBe(false);
    }),
  ),
);

test
  .runIf(has('signals', 'proc'))
  .concurrent('a stopped holder of ours is not robbed by ours', patience, () =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ file, lockfile }) => {
        const holder = await start('ours');
        const number = await holder.lock(file, { stale: 2000 });
        holder.child.kill('SIGSTOP');
        await until(() => isStopped(holder.child.pid), 'the stop');
        leaveDirectory(lockfile, 1000);
        const waiting = await mustBlock(lock(file, { stale: 2000, timeout: 30_000 }), 'a wait');
        await sleep(1500);
        expect(Date.now() - statSync(lockfile).mtimeMs).toBeGreaterThan(2000);
        expect(await check(file, { stale: 2000 })).toBe(true);
        await expect(lock(file, { stale: 2000 })).rejects.toMatchObject({ code: 'ELOCKED' });
        expect(() => lockSync(file, { stale: 2000 })).toThrow('already being held');
        leaveDirectory(lockfile, 0);
        holder.child.kill('SIGCONT');
        // It may find that the time is not its own: that was us.
        await holder.release(number).catch(() => undefined);
        await (
          await waiting()
        )();
      }),
    ),
  );

test
  .runIf(has('signals', 'proc'))
  .concurrent(
    'theirs rob a stopped holder of ours after `stale`; it finds out, and leaves the lock to the robber',
    patience,
    () =>
      withLockfileAgents((start) =>
        withLockfileTarget(async ({ file, lockfile }) => {
          const holder = await start('ours');
          const robber = await start('theirs');
          const number = await holder.lock(file, { stale: 2000 });
          holder.child.kill('SIGSTOP');
          await until(() => isStopped(holder.child.pid), 'the stop');
          await takeOver(robber, file, 2000);
          holder.child.kill('SIGCONT');
          expect(await holder.compromised()).toMatchObject({ code: 'ECOMPROMISED' });
          await expect(holder.release(number)).rejects.toMatchObject({ code: 'ERELEASED' });
          expect(existsSync(lockfile)).toBe(true);
          await expect(holder.lock(file)).rejects.toMatchObject({ code: 'ELOCKED' });
          await robber.unlock(file);
          await holder.release(await holder.lock(file));
        }),
      ),
  );

test.concurrent('a wait goes on behind theirs, and ends with their release', patience, () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file }) => {
      const holder = await start('theirs');
      const number = await holder.lock(file);
      await expect(lock(file, { timeout: 100 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      expect(() => lockSync(file, { timeout: 100 })).toThrow(
        expect.objectContaining({ code: 'ETIMEDOUT' }) as Error,
      );
      const waiting = await mustBlock(lock(file, { timeout: 30_000 }), 'a wait');
      await holder.release(number);
      await (
        await waiting()
      )();
    }),
  ),
);

test.concurrent(
  'the kernel lock of this package on the same file excludes ours, and the other way round',
  patience,
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const held = await kernelLock(file);
      await expect(lock(file)).rejects.toMatchObject({ code: 'ELOCKED' });
      expect(await check(file)).toBe(true);
      expect(existsSync(lockfile)).toBe(false);
      await held.release();
      const release = await lock(file);
      expect(await tryLock(file)).toBeNull();
      const waiting = await mustBlock(kernelLock(file), 'a second lock');
      await release();
      await (await waiting()).release();
    }),
);

test.concurrent(
  'what a kernel lock in between finds of a dead holder is kept for ours',
  patience,
  async (context) => {
    context.skip(!has('birthTimes'), 'nothing tells whose the directory is');
    await withLockfileAgents((start) =>
      withLockfileTarget(async ({ file, lockfile }) => {
        const holder = await start('ours');
        await holder.lock(file);
        await holder.end('SIGKILL');
        await (await kernelLock(file)).release();
        await (await kernelLock(file, { shared: true })).release();
        expect(existsSync(lockfile)).toBe(true);
        expect(await check(file)).toBe(false);
        await (
          await lock(file)
        )();
        expect(existsSync(lockfile)).toBe(false);
      }),
    );
  },
);

test.concurrent(
  'one of theirs who removes a directory that we have just taken over has the lock',
  patience,
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      leaveDirectory(lockfile, 60_000);
      const taken = lock(file);
      await until(() => Date.now() - statSync(lockfile).mtimeMs < 30_000, 'the take-over');
      // It has looked before, and acts only now.
      replaceDirectory(lockfile);
      await expect(taken).rejects.toMatchObject({ code: 'ELOCKED' });
      expect(existsSync(lockfile)).toBe(true);
      rmdirSync(lockfile);
      await (
        await lock(file)
      )();
    }),
);
