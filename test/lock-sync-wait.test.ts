import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const modes = ['exclusive', 'shared'] as const;
const kinds = ['process', 'worker'] as const;

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
        const wait = blocked.lockSync(target, { shared: mode === 'shared', timeout });
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

interface Outcome {
  order: string[];
  exclusive: boolean;
}

type Scenario = Record<'target' | 'waiting' | 'blocking' | 'moment', string>;

/** Runs lock-sync-beside-wait.mjs, and `release` when its thread waits. */
const runs: Record<
  (typeof kinds)[number],
  (agents: LockAgents, scenario: Scenario, release: () => Promise<unknown>) => Promise<Outcome>
> = {
  async process(agents, scenario, release) {
    const child = agents.children.fork('lock-sync-beside-wait.mjs', {
      args: [JSON.stringify(scenario)],
    });
    await child.waitForMessage('waiting');
    await release();
    const { order, exclusive } = await child.waitForMessage('done');
    expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
    return { order, exclusive } as Outcome;
  },
  async worker(_agents, scenario, release) {
    const worker = new Worker(path.join(fixturesDirectory, 'lock-sync-beside-wait.mjs'), {
      workerData: scenario,
      execArgv: [],
    });
    try {
      await within(once(worker, 'message'), 'the worker to wait');
      const done = once(worker, 'message') as Promise<[Outcome]>;
      await release();
      const [{ order, exclusive }] = await within(done, 'the worker to be served');
      return { order, exclusive };
    } finally {
      await worker.terminate();
    }
  },
};

describe.runIf(has('proc'))('lockSync on a lock that its own thread waits for', () => {
  test.each(
    kinds.flatMap((kind) =>
      ['pending', 'granted'].flatMap((moment) =>
        modes.flatMap((waiting) =>
          modes.map((blocking) => [kind, moment, waiting, blocking] as const),
        ),
      ),
    ),
  )(
    '(%s; the wait is %s, %s; the call %s) takes over the kernel wait, and the wait is served after it',
    (kind, moment, waiting, blocking) =>
      withTemporaryDirectory((directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'file');
          const holder = await agents.process();
          const held = await holder.lock(target);
          const scenario = { target, waiting, blocking, moment };
          const outcome = await runs[kind](agents, scenario, () => held.release());
          expect(outcome).toEqual({ order: ['lockSync', 'wait 1', 'wait 2'], exclusive: true });
          await (await holder.lock(target, { timeout: 10_000 })).release();
        }),
      ),
  );
});
