import { getEventListeners } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { lock, tryLock, withLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { kernelWaiters, until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

/** Hands `use` a target that another process holds until its lock is released. */
async function withHeldTarget(
  use: (setting: {
    target: string;
    lockPath: string;
    other: ProcessAgent;
    release: () => Promise<unknown>;
  }) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const other = await agents.process();
      const target = path.join(directory, 'file');
      const held = await other.lock(target);
      await use({ target, lockPath: held.lockPath, other, release: () => held.release() });
    }),
  );
}

const reasons: [string, unknown][] = [
  ['an error', new Error('no longer wanted')],
  ['an object', { some: 'thing' }],
  ['a text', 'enough'],
  ['null', null],
  ['what AbortSignal makes by itself', undefined],
];

test.each(reasons)('an aborted wait rejects with signal.reason itself: %s', (_name, reason) =>
  withHeldTarget(async ({ target }) => {
    const controller = new AbortController();
    const { signal } = controller;
    const wait = lock(target, { signal });
    await mustBlock(wait, 'the wait');
    controller.abort(reason);
    const rejection: unknown = await wait.then(
      () => 'granted',
      (error: unknown) => error,
    );
    expect(rejection).toBe(signal.reason);
    if (reason === undefined) expect(rejection).toMatchObject({ name: 'AbortError' });
    expect(listenersOf(signal)).toBe(0);
  }),
);

test('AbortSignal.timeout() ends a wait with its TimeoutError', () =>
  withHeldTarget(async ({ target }) => {
    const signal = AbortSignal.timeout(30);
    const rejection: unknown = await lock(target, { signal }).catch((error: unknown) => error);
    expect(rejection).toBe(signal.reason);
    expect(rejection).toMatchObject({ name: 'TimeoutError' });
  }));

test('with a signal that is aborted already nothing is tried', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    const signal = AbortSignal.abort(new Error('before'));
    await expect(lock(target, { signal })).rejects.toBe(signal.reason);
    await expect(lock(target, { signal, timeout: 0 })).rejects.toBe(signal.reason);
    let called = false;
    const context = withLock(target, { signal }, () => {
      called = true;
    });
    await expect(context).rejects.toBe(signal.reason);
    expect(called).toBe(false);
    expect(existsSync(path.join(directory, '.file.lock'))).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  }));

test('an abort in the same turn as the call ends the wait', () =>
  withHeldTarget(async ({ target }) => {
    const controller = new AbortController();
    const wait = lock(target, { signal: controller.signal });
    controller.abort();
    await expect(wait).rejects.toBe(controller.signal.reason);
  }));

test('an abort after the grant does nothing, and no listener stays', () =>
  withTemporaryDirectory(async (directory) => {
    const controller = new AbortController();
    const { signal } = controller;
    const target = path.join(directory, 'file');
    const held = await lock(target, { signal });
    expect(listenersOf(signal)).toBe(0);
    const second = await mustBlock(lock(target, { signal }), 'a second lock');
    expect(listenersOf(signal)).toBe(1);
    await held.release();
    const granted = await second();
    expect(listenersOf(signal)).toBe(0);
    controller.abort();
    expect(granted.held).toBe(true);
    granted.verify();
    await granted.release();
  }));

test('many waits on one signal end together and leave no listener', () =>
  withHeldTarget(async ({ target, release }) => {
    const controller = new AbortController();
    const { signal } = controller;
    const waits = Array.from({ length: 9 }, (_, index) =>
      lock(`${target}${index % 3 || ''}`, { signal, shared: index % 2 === 0 }),
    );
    // Of the three files only one is held by somebody else: for the others our own first callers get them.
    const outcomes = Promise.allSettled(waits);
    await mustBlock(outcomes, 'those who wait');
    controller.abort();
    const states = (await outcomes).map((outcome) =>
      outcome.status === 'rejected'
        ? outcome.reason === signal.reason
          ? 'aborted'
          : 'failed'
        : '',
    );
    expect(states.filter((state) => state === 'failed')).toEqual([]);
    expect(states.filter((state) => state === 'aborted').length).toBeGreaterThanOrEqual(3);
    expect(listenersOf(signal)).toBe(0);
    await release();
    for (const outcome of await outcomes) {
      if (outcome.status === 'fulfilled') await outcome.value.release();
    }
  }));

test('of several waits on one signal none is granted by the abort of another', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    for (const modes of [
      [false, true],
      [true, false],
      [false, false, true, true, false],
    ]) {
      const held = await lock(target);
      const controller = new AbortController();
      const { signal } = controller;
      const waits = modes.map((shared) => lock(target, { shared, signal }));
      const outcomes = Promise.allSettled(waits);
      await mustBlock(outcomes, 'those who wait');
      held.releaseSync();
      controller.abort();
      for (const outcome of await outcomes) {
        expect(outcome).toEqual({ status: 'rejected', reason: signal.reason as unknown });
      }
      expect(listenersOf(signal)).toBe(0);
      const again = await tryLock(target);
      expect(again).not.toBeNull();
      await again?.release();
    }
  }));

test('an aborted wait never holds the lock later', () =>
  withHeldTarget(async ({ target, other, release }) => {
    const controller = new AbortController();
    const wait = lock(target, { signal: controller.signal });
    await mustBlock(wait, 'the wait');
    controller.abort();
    await expect(wait).rejects.toBe(controller.signal.reason);
    await release();
    for (let round = 0; round < 20; round++) {
      const held = await other.tryLock(target);
      expect(held).not.toBeNull();
      await held?.release();
    }
    const own = await tryLock(target);
    expect(own).not.toBeNull();
    await own?.release();
  }));

test.runIf(has('proc'))('the kernel forgets an aborted wait at once', () =>
  withHeldTarget(async ({ target, lockPath }) => {
    for (let round = 0; round < 30; round++) {
      const controller = new AbortController();
      const wait = lock(target, { signal: controller.signal });
      await until(() => kernelWaiters(lockPath) === 1, 'the wait to reach the kernel');
      controller.abort();
      await expect(wait).rejects.toBe(controller.signal.reason);
      await until(() => kernelWaiters(lockPath) === 0, 'the kernel to let the waiter go');
    }
  }),
);
