// The directory of a held lock: refreshed by a native thread, watched by the same, and given up when it is lost.
import { existsSync, rmdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, lockSync } from 'holdfast/proper-lockfile';
import type { LockOptions } from 'holdfast/proper-lockfile';
import { expect, test, vi } from 'vitest';

import {
  leaveDirectory,
  namesIn,
  replaceDirectory,
  takeDirectoryAway,
  withLockfileTarget,
} from '../helpers/lockfile-target.js';
import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import { until } from '../helpers/process-figures.js';

// Most of these wait for a clock that is not theirs.
const patience = { timeout: 30_000 };

const timeOf = (file: string): number => statSync(file).mtimeMs;

/** How long a directory goes without a refresh under these options. */
async function measureInterval(options: LockOptions): Promise<number> {
  return withLockfileTarget(async ({ file, lockfile }) => {
    const release = await lock(file, options);
    const start = timeOf(lockfile);
    await until(() => timeOf(lockfile) !== start, 'a refresh');
    const interval = timeOf(lockfile) - start;
    await release();
    return interval;
  });
}

const intervals: { given: LockOptions; atLeast: number }[] = [
  { given: { update: 1500 }, atLeast: 1500 },
  { given: { update: 100 }, atLeast: 1000 },
  { given: { update: false as unknown as number }, atLeast: 1000 },
  { given: { update: 6000, stale: 3000 }, atLeast: 1500 },
  { given: { stale: 3000 }, atLeast: 1500 },
  { given: { stale: Infinity, update: 2000 }, atLeast: 2000 },
];

test.concurrent.each(intervals)(
  'with $given the time moves on after $atLeast ms, not before',
  patience,
  async ({ given, atLeast }) => {
    const interval = await measureInterval(given);
    // File systems take their time from a clock that ticks a few milliseconds apart.
    expect(interval).toBeGreaterThan(atLeast - 50);
    expect(interval).toBeLessThan(atLeast + 15_000);
  },
);

test.concurrent('it moves on again and again, and for each of several locks', patience, () =>
  withLockfileTarget(async (one) =>
    withLockfileTarget(async (other) => {
      const releases = [
        await lock(one.file, { update: 1000 }),
        await lock(other.file, { update: 1300 }),
      ];
      for (const { lockfile } of [one, other]) {
        for (let times = 0; times < 2; times++) {
          const last = timeOf(lockfile);
          await until(() => timeOf(lockfile) > last, 'a refresh');
        }
      }
      for (const release of releases) await release();
    }),
  ),
);

test.concurrent('it stops with the lock', patience, () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    await (
      await lock(file, { update: 1000 })
    )();
    leaveDirectory(lockfile, 0);
    const start = timeOf(lockfile);
    await sleep(1300);
    expect(timeOf(lockfile)).toBe(start);
  }),
);

test.concurrent('a blocked event loop does not stop it', patience, () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('ours');
      const peer = await start('theirs');
      const number = await holder.lock(file, { stale: 2000, update: 1000 });
      await holder.call('block', 5000);
      const first = timeOf(lockfile);
      // Longer than what would make a process on proper-lockfile lose it.
      await until(() => timeOf(lockfile) > first + 2500, 'refreshes in spite of it');
      expect(await peer.check(file, { stale: 2000 })).toBe(true);
      await expect(peer.lock(file, { stale: 2000 })).rejects.toThrow('already being held');
      await holder.release(number);
      await peer.release(await peer.lock(file));
    }),
  ),
);

const losses: {
  loss: string;
  lose: (lockfile: string) => void;
  message: RegExp;
  remains: boolean;
}[] = [
  { loss: 'that is gone', lose: takeDirectoryAway, message: /^ENOENT/, remains: false },
  {
    loss: 'that is replaced',
    lose: replaceDirectory,
    message: /^Unable to update lock within the stale threshold$/,
    remains: true,
  },
  {
    loss: 'whose time somebody else sets',
    lose: (lockfile) => {
      leaveDirectory(lockfile, 60_000);
    },
    message: /^Unable to update lock within the stale threshold$/,
    remains: true,
  },
];

test.concurrent.each(losses)(
  'a directory $loss is a lost lock: told once, given up, and released no more',
  patience,
  ({ lose, message, remains }) =>
    withLockfileTarget(async ({ place, file, lockfile }) => {
      const lost = vi.fn();
      const release = await lock(file, { update: 1000, onCompromised: lost });
      lose(lockfile);
      await until(() => lost.mock.calls.length > 0, 'the loss');
      const error = lost.mock.calls[0]?.[0] as Error;
      expect(error).toMatchObject({ code: 'ECOMPROMISED' });
      expect(error.message).toMatch(message);
      await expect(release()).rejects.toMatchObject({ code: 'ERELEASED' });
      expect(existsSync(lockfile)).toBe(remains);
      expect(namesIn(place)).not.toContain('.file.lock');
      await sleep(1200);
      expect(lost).toHaveBeenCalledTimes(1);
    }),
);

test.concurrent('onCompromised may lock again', patience, () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    const release = await new Promise<() => Promise<void>>((resolve, reject) => {
      void lock(file, {
        update: 1000,
        onCompromised: () => {
          lock(file).then(resolve, reject);
        },
      }).then(() => {
        takeDirectoryAway(lockfile);
      }, reject);
    });
    expect(existsSync(lockfile)).toBe(true);
    await release();
  }),
);

test.concurrent(
  'a lock that was robbed is told at the release, if not before, and the robber keeps his',
  patience,
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const lost = vi.fn();
      const release = await lock(file, { onCompromised: lost });
      replaceDirectory(lockfile);
      await expect(release()).rejects.toMatchObject({ code: 'ECOMPROMISED' });
      expect(existsSync(lockfile)).toBe(true);
      rmdirSync(lockfile);
      const releaseSync = lockSync(file, { onCompromised: lost });
      replaceDirectory(lockfile);
      expect(releaseSync).toThrow('Unable to update lock within the stale threshold');
      expect(existsSync(lockfile)).toBe(true);
      await expect(release()).rejects.toMatchObject({ code: 'ERELEASED' });
      expect(lost).not.toHaveBeenCalled();
    }),
);

test.concurrent('nobody who handles the loss: it ends the process', patience, () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('ours');
      await holder.call('lockPlainly', file, { update: 1000 });
      takeDirectoryAway(lockfile);
      expect(await holder.child.waitForExit()).toEqual({ code: 1, signal: null });
      expect(holder.child.stderr).toContain('ECOMPROMISED');
    }),
  ),
);
