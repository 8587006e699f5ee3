import path from 'node:path';
import { lock, lockSync } from 'holdfast';
import type { WaitInfo } from 'holdfast';
import { expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('onWait is told who is in the way, at once and about once a second', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { session: 'first shift' });
    const told: WaitInfo[] = [];
    const waiting = lock(target, {
      onWait: (wait) => {
        told.push(wait);
        if (told.length === 3) void held.release();
      },
    });
    expect(told).toHaveLength(1);
    const [first] = told;
    expect(first).toMatchObject({ target, lockPath: held.lockPath });
    expect(first?.holder).toMatchObject({
      pid: process.pid,
      session: 'first_shift',
      token: held.token,
      self: true,
    });
    expect(first?.holder?.since).toBeInstanceOf(Date);
    expect(first?.message).toMatch(
      /^still waiting for the lock on '.*data', held by this process since 20/,
    );
    await (await waiting).release();
    // All waits of a thread share the second, which may have begun before this one.
    const [, second, third] = told;
    expect((third?.waitedMs ?? 0) - (second?.waitedMs ?? 0)).toBeGreaterThan(500);
  }));

test('onWait is not called when there is nothing to wait for', () =>
  withTemporaryDirectory(async (directory) => {
    const told: WaitInfo[] = [];
    const onWait = (wait: WaitInfo): void => void told.push(wait);
    await (await lock(path.join(directory, 'data'), { onWait })).release();
    lockSync(path.join(directory, 'data'), { onWait }).releaseSync();
    expect(told).toEqual([]);
  }));

test('every caller in the queue is told, not only the first', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const told: number[] = [];
    const waiting = [0, 1, 2].map((index) => lock(target, { onWait: () => void told.push(index) }));
    expect(told).toEqual([0, 1, 2]);
    await held.release();
    for (const granted of waiting) await (await granted).release();
  }));

test('an onWait that throws ends its own wait with its error, and nobody else is harmed', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const failure = new Error('cannot tell anybody');
    const onWait = (): void => {
      throw failure;
    };
    await expect(lock(target, { onWait })).rejects.toBe(failure);
    const next = lock(target);
    await expect(lock(target, { onWait })).rejects.toBe(failure);
    await held.release();
    await (await next).release();
  }));

test('an onWait may abort the wait that it is told of', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const controller = new AbortController();
    const reason = new Error('not for that holder');
    const onWait = (): void => {
      controller.abort(reason);
    };
    await expect(lock(target, { onWait, signal: controller.signal })).rejects.toBe(reason);
    await held.release();
    await (await lock(target, { timeout: 10_000 })).release();
  }));
