import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agent.js';
import type { LockAgent, LockAgents, ProcessAgent } from './helpers/lock-agent.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const modes = ['exclusive', 'shared'] as const;
const kinds = ['process', 'worker'] as const;
type Mode = (typeof modes)[number];

const options = (mode: Mode) => ({ shared: mode === 'shared' });

interface Setting {
  target: string;
  holder: ProcessAgent;
  blocked: LockAgent;
  agents: LockAgents;
}

/** Hands `use` a target, another process and an agent of the given kind. */
async function withSetting(
  kind: (typeof kinds)[number],
  use: (setting: Setting) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const holder = await agents.process();
      const blocked = kind === 'process' ? await agents.process() : await agents.worker();
      await use({ target: path.join(directory, 'file'), holder, blocked, agents });
    }),
  );
}

describe.each(kinds)('lockSync in a %s', (kind) => {
  test.each(modes.flatMap((waiting) => modes.map((blocking) => [waiting, blocking] as const)))(
    'takes over the kernel wait of the pending %s lock() of its own thread (blocking: %s), which is served after it',
    (waiting, blocking) =>
      withSetting(kind, async ({ target, holder, blocked }) => {
        const held = await holder.lock(target);
        const waits = [blocked.lock(target, options(waiting)), blocked.lock(target)];
        const sync = blocked.lockSync(target, options(blocking));
        const served: string[] = [];
        void waits[0]?.then(() => served.push('first wait'));
        void waits[1]?.then(() => served.push('second wait'));
        void sync.then(() => served.push('lockSync'));
        const granted = await mustBlock(sync, 'lockSync on a lock that another process holds');

        await held.release();
        await (await granted()).releaseSync();
        await (await within(waits[0] as (typeof waits)[0], 'the first wait')).release();
        await (await within(waits[1] as (typeof waits)[0], 'the second wait')).release();
        expect(served).toEqual(['lockSync', 'first wait', 'second wait']);
        await (await holder.lock(target, { timeout: 10_000 })).release();
      }),
  );

  test('leaves the pending lock() of its own thread waiting when it times out', () =>
    withSetting(kind, async ({ target, holder, blocked }) => {
      const held = await holder.lock(target);
      const wait = blocked.lock(target);
      await expect(blocked.lockSync(target, { timeout: 80 })).rejects.toMatchObject({
        code: 'ETIMEDOUT',
      });
      const granted = await mustBlock(wait, 'the wait of the thread');
      await held.release();
      await (await granted()).release();
    }));

  test.each(modes)('times out with the holder and the path (%s)', (mode) =>
    withSetting(kind, async ({ target, holder, blocked }) => {
      const held = await holder.lock(target, { session: 'the-other' });
      for (const timeout of [0, 60]) {
        const started = performance.now();
        const wait = blocked.lockSync(target, { ...options(mode), timeout });
        await expect(wait).rejects.toMatchObject({
          name: 'HoldfastError',
          code: 'ETIMEDOUT',
          path: held.lockPath,
          holder: { pid: holder.pid, session: 'the-other', token: held.token, self: false },
        });
        expect(performance.now() - started).toBeGreaterThanOrEqual(timeout - 2);
      }
      // Nothing is left of it: the lock is to be had as soon as it is free.
      await held.release();
      await (await holder.lock(target, { timeout: 10_000 })).release();
    }),
  );

  const ways = ['lock', 'lockSync', 'withLock', 'tryLock'] as const;
  test.each(ways)('on what this thread holds by %s is EDEADLK, unless both are shared', (way) =>
    withSetting(kind, async ({ target, blocked, holder }) => {
      for (const [holding, blocking] of modes.flatMap((one) => modes.map((two) => [one, two]))) {
        const held = await blocked[way](target, { shared: holding === 'shared' });
        if (held === null) throw new Error('The lock was not free');
        const second = blocked.lockSync(target, {
          shared: blocking === 'shared',
          timeout: 10_000,
        });
        if (holding === 'shared' && blocking === 'shared') {
          await (await second).release();
        } else {
          await expect(second).rejects.toMatchObject({
            name: 'HoldfastError',
            code: 'EDEADLK',
            path: held.lockPath,
          });
        }
        await held.release();
        await (await holder.lock(target, { timeout: 10_000 })).release();
      }
    }),
  );
});

test('lockSync waits for what another thread of the process holds, in either direction', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      const [one, other] = await Promise.all([agents.worker(), agents.worker()]);
      for (const [holder, blocked] of [
        [one, other],
        [other, one],
      ] as const) {
        const held = await holder.lock(target);
        const granted = await mustBlock(blocked.lockSync(target), 'lockSync in another thread');
        await held.release();
        await (await granted()).release();
      }
    }),
  ));

describe.runIf(has('proc'))(
  'lockSync after the kernel granted a wait that is not delivered',
  () => {
    test.each(modes.flatMap((waiting) => modes.map((blocking) => [waiting, blocking] as const)))(
      '%s wait, %s call: the call gets the lock and the wait is served after it',
      (waiting, blocking) =>
        withSetting('process', async ({ target, holder, agents }) => {
          const held = await holder.lock(target);
          const child = agents.children.fork('lock-sync-after-grant.mjs', {
            args: [target, waiting, blocking],
          });
          await child.waitForMessage('waiting');
          await held.release();
          const { order, exclusive } = await child.waitForMessage('done');
          expect(order).toEqual(['lockSync', 'wait']);
          expect(exclusive).toBe(true);
          expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        }),
    );
  },
);
