import { existsSync } from 'node:fs';
import path from 'node:path';
import { HoldfastError, tryLock, tryLockSync, withLock, withLockSync } from 'holdfast';
import type { FileLock } from 'holdfast';
import { expect, test } from 'vitest';

import { takeAway } from './helpers/taken-away.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

async function expectFree(target: string): Promise<void> {
  const lock = await tryLock(target);
  expect(lock, 'the lock must be free').not.toBeNull();
  await lock?.release();
}

test('withLock holds the lock while the function runs, and hands back what it returned', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const result = await withLock(target, async (lock) => {
      expect(lock.held).toBe(true);
      expect(await tryLock(target)).toBeNull();
      return 'done';
    });
    expect(result).toBe('done');
    await expectFree(target);
  }));

test('withLock takes a function that is not asynchronous', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    expect(await withLock(target, { shared: true }, (lock) => lock.shared)).toBe(true);
    await expectFree(target);
  }));

test('an exception in the guarded function releases the lock, and is the error that the caller sees', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const failure = new Error('the work failed');
    await expect(withLock(target, () => Promise.reject(failure))).rejects.toBe(failure);
    await expectFree(target);
    await expect(
      withLock(target, () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    await expectFree(target);
    expect(() =>
      withLockSync(target, () => {
        throw failure;
      }),
    ).toThrow(failure);
    await expectFree(target);
  }));

test('withLockSync holds the lock while the function runs, and hands back what it returned', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const result = withLockSync(target, () => {
      expect(tryLockSync(target)).toBeNull();
      return 42;
    });
    expect(result).toBe(42);
    await expectFree(target);
  }));

test('withLockSync refuses a function that returns a promise, and releases the lock', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    expect(() => withLockSync(target, () => Promise.resolve())).toThrow(TypeError);
    expect(() => withLockSync(target, () => Promise.resolve())).toThrow(
      /must not return a promise/,
    );
    await expectFree(target);
  }));

test('a lock that was lost meanwhile makes withLock reject, whatever the function returned', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const outcome = withLock(target, (lock) => {
      takeAway(lock.lockPath);
      return 'looks fine';
    });
    await expect(outcome).rejects.toMatchObject({ name: 'HoldfastError', code: 'ECOMPROMISED' });
    const lost = (): unknown =>
      withLockSync(target, (lock) => {
        takeAway(lock.lockPath);
      });
    expect(lost).toThrow(HoldfastError);
    await expectFree(target);
  }));

test('a function may release its lock early', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const early = await withLock(target, async (lock) => {
      await lock.release();
      return tryLock(target);
    });
    await early?.release();
    expect(early).not.toBeNull();
    const result = withLockSync(target, (lock) => {
      lock.releaseSync();
      return 7;
    });
    expect(result).toBe(7);
  }));

test('a failed acquisition runs no function and leaves nothing locked', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'missing', 'data');
    let ran = false;
    const run = (): void => {
      ran = true;
    };
    await expect(withLock(target, run)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(() => {
      withLockSync(target, run);
    }).toThrow(/ENOENT/);
    expect(ran).toBe(false);
    expect(existsSync(path.dirname(target))).toBe(false);
  }));

test('a function that keeps its lock beyond withLock finds it released', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const kept: FileLock[] = [];
    await withLock(target, (lock) => void kept.push(lock));
    expect(kept[0]?.held).toBe(false);
    expect(() => kept[0]?.verify()).toThrow(/ECOMPROMISED/);
  }));
