import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { isStopped, kernelWaiters, until } from './helpers/process-figures.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const cycles = atScale(2000, 100);
const catching = { execArgv: ['--import', path.join(fixturesDirectory, 'catch-signals.mjs')] };

interface Setting {
  target: string;
  holder: ProcessAgent;
  /** A process that catches signals. */
  agent: ProcessAgent;
}

async function withSetting(use: (setting: Setting) => Promise<void>): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const [holder, agent] = await Promise.all([agents.process(), agents.process(catching)]);
      await use({ target: path.join(directory, 'file'), holder, agent });
    }),
  );
}

/** Sends signals to a process, some thousand a second, until `use` is done. */
async function underSignals(
  agent: ProcessAgent,
  signals: readonly (NodeJS.Signals | number)[],
  use: () => Promise<void>,
): Promise<void> {
  const done = { yet: false };
  let sent = 0;
  const storm = (async () => {
    while (!done.yet) {
      for (const signal of signals) {
        for (let times = 0; times < 5; times++) process.kill(agent.pid, signal);
        sent += 5;
      }
      await sleep(1);
    }
  })();
  try {
    await use();
  } finally {
    done.yet = true;
    await storm;
  }
  printFigure(`${sent} signals (${signals.join(', ')}) were sent meanwhile`);
}

/** Real-time signals that a process catches, as the mask in /proc tells. */
function caughtRealTimeSignals(pid: number): number[] {
  const mask = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const bits = BigInt(`0x${mask ?? ''}`);
  // From 34 on: the C library keeps the first two for itself.
  return Array.from({ length: 31 }, (_, index) => 34 + index).filter(
    (signal) => (bits >> BigInt(signal - 1)) & 1n,
  );
}

const storm = ['SIGUSR2', 'SIGWINCH', 'SIGALRM'] as const;

async function expectCaught(agent: ProcessAgent): Promise<void> {
  for (const signal of storm) await agent.child.waitForOutput(new RegExp(`caught ${signal}`));
}

describe.runIf(has('signals'))('a process that is sent signals all the time', () => {
  test.each(['lock', 'lockSync', 'tryLock', 'tryLockSync', 'withLock'] as const)(
    'takes and leaves a free lock by %s',
    (form) =>
      withSetting(async ({ target, agent }) => {
        await underSignals(agent, storm, async () => {
          for (let cycle = 0; cycle < cycles; cycle++) {
            const held = await agent[form](target);
            if (held === null) throw new Error('The lock was not free');
            await held.verify();
            await held.release();
          }
          await expectCaught(agent);
        });
      }),
    limitAtScale(30_000),
  );

  test.each(['lock', 'lockSync'] as const)(
    'waits, and is served when the lock is free (%s)',
    (form) =>
      withSetting(async ({ target, holder, agent }) => {
        await underSignals(agent, storm, async () => {
          for (let round = 0; round < atScale(50, 5); round++) {
            const held = await holder.lock(target);
            const granted = await mustBlock(agent[form](target), 'the wait');
            await held.release();
            await (await granted()).release();
          }
          await expectCaught(agent);
        });
      }),
    limitAtScale(30_000),
  );

  test.each(['lock', 'lockSync'] as const)('times out when it is time (%s)', (form) =>
    withSetting(async ({ target, holder, agent }) => {
      const held = await holder.lock(target);
      await underSignals(agent, storm, async () => {
        for (const timeout of [20, 100, 200]) {
          const started = performance.now();
          await expect(agent[form](target, { timeout })).rejects.toMatchObject({
            code: 'ETIMEDOUT',
          });
          expect(performance.now() - started).toBeGreaterThanOrEqual(timeout - 2);
        }
      });
      await held.release();
      const again = await holder.lock(target, { timeout: 10_000 });
      await again.release();
    }),
  );
});

test.runIf(has('proc', 'signals', 'ownProcessor'))(
  'the signal that ends waits ends none when somebody else sends it',
  () =>
    withSetting(async ({ target, holder, agent }) => {
      const held = await holder.lock(target);
      const wait = agent.lock(target);
      await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel');
      const own = caughtRealTimeSignals(agent.pid);
      expect(own).toHaveLength(1);
      let granted = await mustBlock(wait, 'the wait');
      await underSignals(agent, own, async () => {
        granted = await mustBlock(granted(), 'the wait');
        await sleep(200);
      });
      granted = await mustBlock(granted(), 'the wait');
      await held.release();
      await (await granted()).release();
    }),
);

describe.runIf(has('proc', 'signals'))('a waiter that is stopped', () => {
  const stopped = (agent: ProcessAgent) => (): boolean => isStopped(agent.pid);

  test.each(['lock', 'lockSync'] as const)(
    'and continued keeps waiting, and is served (%s)',
    (form) =>
      withSetting(async ({ target, holder, agent }) => {
        const held = await holder.lock(target);
        const wait = agent[form](target);
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel');
        for (let times = 0; times < 20; times++) {
          agent.kill('SIGSTOP');
          await until(stopped(agent), 'the waiter to stop');
          agent.kill('SIGCONT');
          await until(() => !stopped(agent)(), 'the waiter to go on');
        }
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel again');
        const granted = await mustBlock(wait, 'the wait');
        await held.release();
        await (await granted()).release();
      }),
  );

  test.each(['lock', 'lockSync'] as const)(
    'while the lock becomes free is served when it goes on, and holds up nobody before (%s)',
    (form) =>
      withSetting(async ({ target, holder, agent }) => {
        const held = await holder.lock(target);
        const wait = agent[form](target);
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel');
        agent.kill('SIGSTOP');
        await until(stopped(agent), 'the waiter to stop');
        await held.release();
        const other = await within(holder.lock(target), 'the lock, beside a stopped waiter');
        const granted = await mustBlock(wait, 'a stopped waiter');
        await other.release();
        agent.kill('SIGCONT');
        await (await granted()).release();
      }),
  );

  test('past its timeout times out when it goes on, and never holds the lock', () =>
    withSetting(async ({ target, holder, agent }) => {
      const held = await holder.lock(target);
      const wait = agent.lock(target, { timeout: 800 });
      await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel');
      agent.kill('SIGSTOP');
      await until(stopped(agent), 'the waiter to stop');
      await sleep(850);
      agent.kill('SIGCONT');
      await expect(wait).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      await held.release();
      await (await holder.lock(target, { timeout: 10_000 })).release();
    }));
});
