// What users of proper-lockfile reported, or what was found in it, and is not so here. Numbers are those of its issues.
import fs, { existsSync } from 'node:fs';
import * as fsNamespace from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { check, lock, lockSync, unlock, unlockSync } from 'holdfast/proper-lockfile';
import { expect, test, vi } from 'vitest';

import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import {
  leaveDirectory,
  namesIn,
  withLockfileTarget,
  replaceDirectory,
} from '../helpers/lockfile-target.js';
import { until } from '../helpers/process-figures.js';
import { atScale, limitAtScale } from '../helpers/scale.js';

const patience = { timeout: 60_000 };

test.concurrent(
  '#121: of many processes that find a stale lock one gets it',
  { timeout: limitAtScale(60_000) },
  () =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ file, lockfile }) => {
        const agents = await Promise.all(Array.from({ length: 6 }, () => start('ours')));
        for (let round = 0; round < atScale(200, 5); round++) {
          leaveDirectory(lockfile, 60_000);
          const attempts = await Promise.allSettled(agents.map((agent) => agent.lock(file)));
          const winners = agents.filter((_agent, index) => attempts[index]?.status === 'fulfilled');
          expect(winners).toHaveLength(1);
          for (const attempt of attempts) {
            if (attempt.status === 'rejected') {
              expect(attempt.reason).toMatchObject({ code: 'ELOCKED' });
            }
          }
          await winners[0]?.unlock(file);
        }
      }),
    ),
);

test.concurrent(
  'gemini-cli #25885: a release while the refresh looks at the directory is no loss',
  patience,
  () =>
    withLockfileTarget(async ({ file }) => {
      const lost = vi.fn();
      let answer: (() => void) | undefined;
      let refreshing = false;
      const stat: typeof fs.stat = ((name: string, callback: (...args: unknown[]) => void) => {
        if (refreshing) answer = () => fs.stat(name, callback);
        else fs.stat(name, callback);
      }) as never;
      const release = await lock(file, { fs: { ...fs, stat }, update: 1000, onCompromised: lost });
      refreshing = true;
      await until(() => answer !== undefined, 'the refresh');
      await release();
      answer?.();
      await sleep(100);
      expect(lost).not.toHaveBeenCalled();
    }),
);

test.concurrent('… nor is one that a native refresh meets', patience, () =>
  withLockfileTarget(async ({ place }) => {
    const lost = vi.fn();
    const options = { realpath: false, update: 1000, onCompromised: lost };
    const many = Array.from({ length: 50 }, (_, index) => path.join(place, String(index)));
    const releases = await Promise.all(many.map((file) => lock(file, options)));
    // Around the time of the refresh.
    for (const [index, release] of releases.entries()) {
      await sleep(index === 0 ? 970 : 1);
      await release();
    }
    await sleep(1100);
    expect(lost).not.toHaveBeenCalled();
    expect(namesIn(place)).toEqual(['file']);
  }),
);

test('an exit does not remove the lock of somebody who took it over', () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('ours');
      await holder.lock(file);
      replaceDirectory(lockfile);
      await holder.call('exit', 0);
      expect(await holder.child.waitForExit()).toEqual({ code: 0, signal: null });
      expect(existsSync(lockfile)).toBe(true);
    }),
  ));

test('unlock without the lockfilePath of the lock leaves no directory', () =>
  withLockfileTarget(async ({ place, file }) => {
    const lockfilePath = path.join(place, 'elsewhere.lock');
    await lock(file, { lockfilePath });
    await expect(unlock(file, { lockfilePath: path.join(place, 'wrong') })).rejects.toMatchObject({
      code: 'ENOTACQUIRED',
    });
    await unlock(file);
    expect(namesIn(place)).toEqual(['file']);
    await lock(file);
    await lock(file, { lockfilePath });
    await unlock(file, { lockfilePath: `${file}.lock` });
    unlockSync(file, { lockfilePath });
    expect(namesIn(place)).toEqual(['file']);
  }));

test.each([{ retries: {} }, { retries: { forever: true } }])(
  'lockSync on a held lock with %j throws, and returns no function as if it had been granted',
  (options) =>
    withLockfileTarget(async ({ file }) => {
      const release = await lock(file);
      for (const more of [{}, { fs }]) {
        expect(() => lockSync(file, { ...options, ...more })).toThrow(
          expect.objectContaining({ code: 'ELOCKED' }) as Error,
        );
      }
      await release();
    }),
);

test.concurrent(
  'stale: Infinity does not make the refresh spin, and nothing is stale then',
  patience,
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const utimes = vi.fn(fs.utimes);
      const options = { fs: { ...fs, utimes }, stale: Infinity };
      const release = await lock(file, options);
      await sleep(200);
      // That which finds out about the file system.
      expect(utimes).toHaveBeenCalledTimes(1);
      await release();
      leaveDirectory(lockfile, 10 * 365 * 86_400_000);
      await expect(lock(file, { stale: Infinity })).rejects.toMatchObject({ code: 'ELOCKED' });
      expect(await check(file, { stale: Infinity })).toBe(true);
    }),
);

test.each([
  { kind: 'a module namespace', given: fsNamespace },
  { kind: 'a frozen object', given: Object.freeze({ ...fs }) },
])('#103: $kind can be given as fs', ({ given }) =>
  withLockfileTarget(async ({ place, file }) => {
    await (
      await lock(file, { fs: given })
    )();
    lockSync(file, { fs: given })();
    expect(namesIn(place)).toEqual(['file']);
  }),
);

test('the working directory may change between lock and unlock', () =>
  withLockfileTarget(async ({ place, file, lockfile }) => {
    const before = process.cwd();
    const release = await lock(path.relative(before, file), {
      realpath: false,
      lockfilePath: path.relative(before, lockfile),
    });
    // Threads cannot change it, and vitest runs this in a process.
    process.chdir(place);
    try {
      await release();
    } finally {
      process.chdir(before);
    }
    expect(namesIn(place)).toEqual(['file']);
  }));
