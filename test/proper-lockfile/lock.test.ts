// What a program can see of proper-lockfile, in both ways in which it is done here: with the kernel's lock, and by the
// functions of a given `fs` alone.
import fs, {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import lockfile, {
  check,
  checkSync,
  lock,
  lockSync,
  unlock,
  unlockSync,
} from 'holdfast/proper-lockfile';
import type * as published from 'proper-lockfile';
import { describe, expect, test } from 'vitest';

import { within } from '../helpers/bounded-wait.js';
import { has } from '../helpers/capabilities.js';
import {
  leaveDirectory,
  namesIn,
  whileYoung,
  withLockfileTarget,
} from '../helpers/lockfile-target.js';

test('the module is the function lock, and has the others as properties', () => {
  expect(lockfile).toBe(lock);
  expect(lockfile).toBe(lockfile.lock);
  expect(Object.entries(lockfile)).toEqual(
    expect.arrayContaining(
      Object.entries({ lock, unlock, check, lockSync, unlockSync, checkSync }),
    ),
  );
});

test('what is typed for the published package is well typed here', () => {
  const replacement: typeof published = lockfile;
  const options: published.LockOptions = { retries: { retries: 1, randomize: true }, fs };
  expect(replacement.lock).toBe(lock);
  expect(options).toBeDefined();
});

const ways = [
  { way: 'with the kernel lock', common: {} },
  { way: 'with a given fs', common: { fs } },
];

describe.each(ways)('$way', ({ common }) => {
  test('a file that does not exist is ENOENT, in every form', () =>
    withLockfileTarget(async ({ place }) => {
      const absent = path.join(place, 'absent');
      const enoent = expect.objectContaining({ code: 'ENOENT' }) as Error;
      await expect(lock(absent, common)).rejects.toThrow(enoent);
      await expect(check(absent, common)).rejects.toThrow(enoent);
      await expect(unlock(absent, common)).rejects.toThrow(enoent);
      expect(() => lockSync(absent, common)).toThrow(enoent);
      expect(() => checkSync(absent, common)).toThrow(enoent);
      expect(() => {
        unlockSync(absent, common);
      }).toThrow(enoent);
    }));

  test('a file need not exist with realpath: false, but its directory must', () =>
    withLockfileTarget(async ({ place }) => {
      const absent = path.join(place, 'absent');
      const options = { ...common, realpath: false };
      const release = await lock(absent, options);
      expect(existsSync(`${absent}.lock`)).toBe(true);
      expect(await check(absent, options)).toBe(true);
      await release();
      await expect(lock(path.join(absent, 'file'), options)).rejects.toMatchObject({
        code: 'ENOENT',
      });
      expect(await check(path.join(absent, 'file'), options)).toBe(false);
    }));

  test('lock resolves with a function that releases, and leaves nothing', () =>
    withLockfileTarget(async ({ place, file, lockfile: directory }) => {
      const release = await lock(file, common);
      expect(statSync(directory).isDirectory()).toBe(true);
      expect(readdirSync(directory)).toEqual([]);
      expect(await check(file, common)).toBe(true);
      await expect(release()).resolves.toBeUndefined();
      expect(await check(file, common)).toBe(false);
      expect(namesIn(place)).toEqual(['file']);
      await (
        await lock(file, common)
      )();
    }));

  test('the synchronous forms do the same', () =>
    withLockfileTarget(({ place, file, lockfile: directory }) => {
      const release = lockSync(file, common);
      expect(existsSync(directory)).toBe(true);
      expect(checkSync(file, common)).toBe(true);
      expect(() => lockSync(file, common)).toThrow('Lock file is already being held');
      release();
      expect(existsSync(directory)).toBe(false);
      expect(release).toThrow('Lock is already released');
      expect(checkSync(file, common)).toBe(false);
      lockSync(file, common);
      unlockSync(file, common);
      expect(() => {
        unlockSync(file, common);
      }).toThrow('Lock is not acquired/owned by you');
      expect(namesIn(place)).toEqual(['file']);
    }));

  test('a second lock is ELOCKED and names the file, also within the process', () =>
    withLockfileTarget(async ({ place, file }) => {
      const release = await lock(file, common);
      const elocked = { code: 'ELOCKED', file, message: 'Lock file is already being held' };
      await expect(lock(file, common)).rejects.toMatchObject(elocked);
      await expect(lock(path.join(place, '.', 'file'), common)).rejects.toMatchObject(elocked);
      await release();
    }));

  test('releasing twice is ERELEASED and harms no later holder', () =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      const release = await lock(file, common);
      await release();
      const later = await lock(file, common);
      await expect(release()).rejects.toMatchObject({
        code: 'ERELEASED',
        message: 'Lock is already released',
      });
      expect(existsSync(directory)).toBe(true);
      await later();
    }));

  test('unlock releases what lock has locked; what it has not is ENOTACQUIRED', () =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      const notAcquired = {
        code: 'ENOTACQUIRED',
        message: 'Lock is not acquired/owned by you',
      };
      await expect(unlock(file, common)).rejects.toMatchObject(notAcquired);
      const release = await lock(file, common);
      await expect(unlock(file, common)).resolves.toBeUndefined();
      expect(existsSync(directory)).toBe(false);
      await expect(unlock(file, common)).rejects.toMatchObject(notAcquired);
      await expect(release()).rejects.toMatchObject({ code: 'ERELEASED' });
      await (
        await lock(file, common)
      )();
    }));

  test('a directory that is gone at the release is no error', () =>
    withLockfileTarget(async ({ place, file, lockfile: directory }) => {
      const release = await lock(file, common);
      rmSync(directory, { recursive: true });
      await release();
      const releaseSync = lockSync(file, common);
      rmSync(directory, { recursive: true });
      releaseSync();
      expect(namesIn(place)).toEqual(['file']);
    }));

  test('lockfilePath is where the directory is', () =>
    withLockfileTarget(async ({ place, file, lockfile: directory }) => {
      const inside = path.join(place, 'inside');
      mkdirSync(inside);
      for (const name of ['other.lock', 'other', '.hidden.lock']) {
        const options = { ...common, lockfilePath: path.join(inside, name) };
        const release = await lock(file, options);
        expect(existsSync(options.lockfilePath)).toBe(true);
        expect(existsSync(directory)).toBe(false);
        expect(await check(file, options)).toBe(true);
        expect(await check(file, common)).toBe(false);
        await expect(lock(file, options)).rejects.toMatchObject({ code: 'ELOCKED' });
        await release();
        expect(namesIn(inside)).toEqual([]);
      }
    }));

  test.runIf(has('symlinks'))('a link and its target are one lock', () =>
    withLockfileTarget(async ({ place, file, lockfile: directory }) => {
      const link = path.join(place, 'link');
      symlinkSync(file, link);
      await lock(link, common);
      await expect(lock(link, common)).rejects.toMatchObject({ code: 'ELOCKED', file });
      await expect(lock(file, common)).rejects.toMatchObject({ code: 'ELOCKED', file });
      expect(await check(file, common)).toBe(true);
      expect(await check(link, common)).toBe(true);
      expect(existsSync(directory)).toBe(true);
      await unlock(file, common);
      await lock(file, common);
      await unlock(link, common);
    }),
  );

  test.runIf(has('symlinks'))('with realpath: false they are two', () =>
    withLockfileTarget(async ({ place, file, lockfile: directory }) => {
      const link = path.join(place, 'link');
      symlinkSync(file, link);
      const options = { ...common, realpath: false };
      await lock(link, options);
      expect(await check(file, options)).toBe(false);
      await expect(unlock(file, options)).rejects.toMatchObject({ code: 'ENOTACQUIRED' });
      await lock(file, options);
      expect(existsSync(`${link}.lock`)).toBe(true);
      expect(existsSync(directory)).toBe(true);
      await unlock(link, options);
      await unlock(file, options);
    }),
  );

  test('a stale directory is taken over, a fresh one is not', () =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      // Some clocks are slow.
      leaveDirectory(directory, -60_000);
      expect(await check(file, common)).toBe(true);
      await expect(lock(file, common)).rejects.toMatchObject({ code: 'ELOCKED' });
      leaveDirectory(directory, 60_000);
      expect(await check(file, common)).toBe(false);
      const release = await lock(file, common);
      expect(statSync(directory).mtimeMs).toBeGreaterThan(Date.now() - 30_000);
      expect(await check(file, common)).toBe(true);
      await release();
      expect(existsSync(directory)).toBe(false);
      leaveDirectory(directory, 60_000);
      lockSync(file, common)();
      expect(existsSync(directory)).toBe(false);
    }));

  test.each([100, false, 0, null])('stale: %s counts as 2000', (stale) =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      const options = { ...common, stale: stale as number };
      expect(await whileYoung(directory, 200, () => check(file, options))).toBe(true);
      const attempt = (): Promise<unknown> => lock(file, options).catch((error: unknown) => error);
      expect(await whileYoung(directory, 200, attempt)).toMatchObject({ code: 'ELOCKED' });
      leaveDirectory(directory, 2100);
      expect(checkSync(file, options)).toBe(false);
      await (
        await lock(file, options)
      )();
    }),
  );

  test('what is no directory counts as a lock as long as it is fresh', () =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      writeFileSync(directory, '');
      await expect(lock(file, common)).rejects.toMatchObject({ code: 'ELOCKED' });
      leaveDirectory(directory, 60_000);
      // Windows' rmdir() says ENOENT of a file, which counts as success.
      const code = expect.stringMatching(/^(ENOTDIR|ELOCKED)$/) as string;
      await expect(lock(file, common)).rejects.toMatchObject({ code });
      expect(statSync(directory).isFile()).toBe(true);
    }));

  test('a stale directory with something in it is left alone', () =>
    withLockfileTarget(async ({ file, lockfile: directory }) => {
      mkdirSync(directory);
      writeFileSync(path.join(directory, 'data'), 'data');
      leaveDirectory(directory, 60_000);
      await expect(lock(file, common)).rejects.toMatchObject({ code: 'ENOTEMPTY' });
      expect(readdirSync(directory)).toEqual(['data']);
    }));

  test('retries win the lock when its holder releases it', () =>
    withLockfileTarget(async ({ file }) => {
      const release = await lock(file, common);
      const retries = { retries: 1000, minTimeout: 10, maxTimeout: 10 };
      const next = lock(file, { ...common, retries });
      await sleep(50);
      await release();
      await (
        await within(next, 'the retried lock')
      )();
    }));

  test('when retries are used up, the error is the usual one', () =>
    withLockfileTarget(async ({ file }) => {
      const release = await lock(file, common);
      const retries = { retries: 2, minTimeout: 1, maxTimeout: 1 };
      await expect(lock(file, { ...common, retries })).rejects.toMatchObject({ code: 'ELOCKED' });
      await release();
    }));

  test.each([10, { retries: 10 }])('retries: %j is ESYNC in the synchronous form', (retries) =>
    withLockfileTarget(({ file, lockfile: directory }) => {
      expect(() => lockSync(file, { ...common, retries })).toThrow(
        expect.objectContaining({
          code: 'ESYNC',
          message: 'Cannot use retries with the sync api',
        }) as Error,
      );
      expect(existsSync(directory)).toBe(false);
    }),
  );

  test.each([0, { retries: 0 }])('retries: %j is not', (retries) =>
    withLockfileTarget(({ file }) => {
      lockSync(file, { ...common, retries })();
    }),
  );
});
