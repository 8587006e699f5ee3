import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { HoldfastError, lock, lockSync, withLock } from 'holdfast';
import type { LockOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import type { AgentLock } from './helpers/agent-lock.js';
import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { runNode, withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** A timer may fire that much early by the clock that is read here, and no more. */
const earliness = 2;

/** Hands `use` a target that another process holds under a session id. */
async function withHeldTarget(
  use: (target: string, held: AgentLock, other: ProcessAgent) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const other = await agents.process();
      await (await lock(path.join(directory, 'warm-up'))).release();
      const target = path.join(directory, 'file');
      await use(target, await other.lock(target, { session: 'night-job' }), other);
    }),
  );
}

async function expectTimeout(
  wait: () => Promise<unknown>,
  timeout: number,
): Promise<HoldfastError> {
  const started = performance.now();
  const error: unknown = await within(
    wait().then(
      () => 'granted',
      (reason: unknown) => reason,
    ),
    'the timeout',
  );
  expect(error).toBeInstanceOf(HoldfastError);
  expect((error as HoldfastError).code).toBe('ETIMEDOUT');
  expect(performance.now() - started).toBeGreaterThanOrEqual(timeout - earliness);
  return error as HoldfastError;
}

describe.each([0, 1, 50])('a timeout of %d ms', (timeout) => {
  test.each<[string, (target: string, options: LockOptions) => Promise<unknown>]>([
    ['lock', (target, options) => lock(target, options)],
    ['withLock', (target, options) => withLock(target, options, () => expect.unreachable())],
  ])('of %s names the holder, the file and the time', (_form, take) =>
    withHeldTarget(async (target, held, other) => {
      for (const shared of [false, true]) {
        const error = await expectTimeout(() => take(target, { timeout, shared }), timeout);
        expect(error).toMatchObject({
          path: held.lockPath,
          refused: false,
          holder: { pid: other.pid, session: 'night-job', token: held.token, self: false },
        });
        expect(error.message).toContain(`${timeout} ms`);
        expect(error.message).toContain(String(other.pid));
      }
    }),
  );

  test('behind a lock of this process says so', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'file');
      const held = await lock(target);
      const error = await expectTimeout(() => lock(target, { timeout }), timeout);
      expect(error.holder).toMatchObject({ pid: process.pid, self: true, token: held.token });
      expect(error.message).toContain('this process');
      await held.release();
    }));
});

test('a timeout of 0 takes a free lock', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    const held = await lock(target, { timeout: 0 });
    expect(held.held).toBe(true);
    await held.release();
  }));

test('a timeout covers the time in the queue', () =>
  withHeldTarget(async (target, held, other) => {
    const first = lock(target);
    const queued = [60, 30, 90].map((timeout) =>
      expectTimeout(() => lock(target, { timeout, shared: timeout === 30 }), timeout),
    );
    for (const error of await Promise.all(queued)) {
      expect(error.holder).toMatchObject({ pid: other.pid });
    }
    const granted = await mustBlock(first, 'the first caller');
    await held.release();
    const own = await granted();
    const error = await expectTimeout(() => lock(target, { timeout: 30 }), 30);
    expect(error.holder).toMatchObject({ self: true });
    await own.release();
  }));

test('a lock that is granted in time stays, whatever the timeout', () =>
  withHeldTarget(async (target, held) => {
    const wait = await mustBlock(lock(target, { timeout: 400 }), 'the wait');
    await held.release();
    const granted = await wait();
    await sleep(450);
    granted.verify();
    await granted.release();
  }));

const longest = 2 ** 31 - 1;

test.each([longest - 1, longest, longest + 1, longest * 2, 2 ** 40, Number.MAX_VALUE, Infinity])(
  'a timeout of %d ms does not fire early',
  (timeout) =>
    withHeldTarget(async (target, held) => {
      const wait = await mustBlock(lock(target, { timeout }), `a wait of up to ${timeout} ms`);
      await held.release();
      await (await wait()).release();
    }),
);

test('a timed-out wait never holds the lock later', () =>
  withHeldTarget(async (target, held, other) => {
    await expectTimeout(() => lock(target, { timeout: 20 }), 20);
    await held.release();
    for (let round = 0; round < 20; round++) {
      const again = await other.tryLock(target);
      expect(again).not.toBeNull();
      await again?.release();
    }
  }));

test('no timer outlives its wait', () =>
  withTemporaryDirectory(async (directory) => {
    const program = `
      const { lock } = require('holdfast');
      const target = process.argv[1];
      (async () => {
        const held = await lock(target);
        const controller = new AbortController();
        const aborted = lock(target, { timeout: 60_000, signal: controller.signal });
        const short = lock(target, { timeout: 5 });
        const granted = lock(target, { timeout: 60_000 });
        controller.abort();
        const outcomes = await Promise.allSettled([aborted, short]);
        held.releaseSync();
        (await granted).releaseSync();
        console.log(outcomes.map(({ reason }) => reason.code ?? reason).join(' '));
        const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
        console.log(timers.length + ' timers');
      })();
    `;
    const started = performance.now();
    const ended = await runNode(['-e', program, path.join(directory, 'file')]);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ended.stdout).toBe('20 ETIMEDOUT\n0 timers\n');
    expect(performance.now() - started).toBeLessThan(30_000);
  }));

test.runIf(has('renameOverOpenFiles'))(
  'the timeout of a blocking call holds though the lock file is replaced again and again',
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'file');
        const lockPath = path.join(directory, '.file.lock');
        const child = children.fork('replace-lock-file.mjs', { args: [lockPath] });
        await child.waitForMessage('replacing');
        const startedAt = performance.now();
        expect(() => lockSync(target, { timeout: 2500 })).toThrow(
          expect.objectContaining({ code: 'ETIMEDOUT' }),
        );
        expect(performance.now() - startedAt).toBeGreaterThan(2490);
      }),
    ),
);
