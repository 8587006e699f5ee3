import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { descriptorCount, threadCount, until } from './helpers/process-figures.js';
import { printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const maxThreads = 128;
/** Threads that may stay for the next wait, and the one that waits share. */
const spareThreads = 3;

function targetsIn(directory: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => path.join(directory, `file-${index}`));
}

async function lockAll(agent: LockAgent, targets: readonly string[]) {
  return Promise.all(targets.map((target) => agent.lock(target)));
}

test.runIf(has('proc'))('a thread waits for each contended file, however many callers', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
      const targets = targetsIn(directory, 8);
      const held = await lockAll(holder, targets);
      // The first touch of the directory takes a thread, which stays for later.
      await (await waiter.lock(path.join(directory, 'free'))).release();
      const before = threadCount(waiter.pid);
      const waits = targets.flatMap((target) => [1, 2, 3].map(() => waiter.lock(target)));
      await waiter.umask(); // answered after the waits have begun
      const during = threadCount(waiter.pid);
      printFigure(`24 callers for 8 files: ${before} threads before, ${during} while they wait`);
      expect(during - before).toBeGreaterThanOrEqual(7);
      expect(during - before).toBeLessThanOrEqual(8);

      await Promise.all(held.map((lock) => lock.release()));
      await Promise.all(waits.map(async (wait) => (await wait).release()));
      await until(() => threadCount(waiter.pid) <= before + 1, 'the threads to end');
    }),
  ),
);

test.runIf(has('proc'))('beyond 128 contended files the waits share one thread', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
      const targets = targetsIn(directory, 200);
      const held = await lockAll(holder, targets);
      await (await waiter.lock(path.join(directory, 'free'))).release();
      const before = threadCount(waiter.pid);
      const descriptors = descriptorCount(waiter.pid);

      const waits = targets.map((target) => waiter.lock(target));
      await waiter.umask();
      const during = threadCount(waiter.pid);
      printFigure(`200 contended files: ${before} threads before, ${during} while waiting`);
      expect(during - before).toBeGreaterThanOrEqual(maxThreads - spareThreads);
      expect(during - before).toBeLessThanOrEqual(maxThreads + 1);

      // Those that share the thread were the last to come; they are served also while the others still wait.
      for (const lock of held.slice(150)) await lock.release();
      const late = await within(Promise.all(waits.slice(150)), 'the waits that share a thread');
      await Promise.all(held.slice(0, 150).map((lock) => lock.release()));
      const early = await within(Promise.all(waits.slice(0, 150)), 'the waits with a thread');
      const locks = [...early, ...late];
      expect(new Set(locks.map((lock) => lock.target))).toEqual(new Set(targets));
      await Promise.all(locks.map((lock) => lock.release()));

      await until(() => threadCount(waiter.pid) <= before + spareThreads, 'the threads to end');
      expect(descriptorCount(waiter.pid)).toBe(descriptors);
    }),
  ),
);

test.runIf(has('proc'))('waits that share a thread time out and leave nothing behind', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
      const targets = targetsIn(directory, 140);
      const held = await lockAll(holder, targets);
      await (await waiter.lock(path.join(directory, 'free'))).release();
      const before = threadCount(waiter.pid);
      const descriptors = descriptorCount(waiter.pid);

      const outcomes = await within(
        Promise.allSettled(targets.map((target) => waiter.lock(target, { timeout: 300 }))),
        'all waits to time out',
      );
      const codes = outcomes.map((outcome) =>
        outcome.status === 'rejected' ? (outcome.reason as NodeJS.ErrnoException).code : 'granted',
      );
      expect(new Set(codes)).toEqual(new Set(['ETIMEDOUT']));

      await until(
        () => threadCount(waiter.pid) <= before + spareThreads,
        () => `the threads to end: ${threadCount(waiter.pid)} are left, ${before} were before`,
      );
      await until(
        () => descriptorCount(waiter.pid) === descriptors,
        () => `descriptors to be closed: ${descriptorCount(waiter.pid)}, not ${descriptors}`,
      );
      await Promise.all(held.map((lock) => lock.release()));
      const locks = await within(lockAll(holder, targets), 'the locks to be free');
      expect(locks).toHaveLength(targets.length);
    }),
  ),
);

/** Runs `use` with an agent that may have no more threads than it has, until `allow` is called. */
async function withoutNewThreads(
  agents: LockAgents,
  directory: string,
  use: (agent: ProcessAgent, allow: () => void) => Promise<void>,
): Promise<void> {
  const agent = await agents.process(ordinaryUser);
  await (await agent.lock(path.join(directory, 'free'))).release();
  const prlimit = (...args: string[]): string =>
    execFileSync('prlimit', ['--pid', String(agent.pid), ...args], {
      ...ordinaryUser,
      encoding: 'utf8',
    }).trim();
  // Only the soft limit, so that it can be raised again.
  const limit = prlimit('--nproc', '--raw', '--noheadings', '--output=SOFT');
  prlimit('--nproc=1:');
  await use(agent, () => prlimit(`--nproc=${limit}:`));
}

test.runIf(has('proc', 'ordinaryUser', 'prlimit'))(
  'where no thread can be made a wait fails with EAGAIN of pthread_create and leaves nothing behind',
  () =>
    withTemporaryDirectory(
      (directory) =>
        withLockAgents(async (agents) => {
          const holder = await agents.process(ordinaryUser);
          const targets = targetsIn(directory, 6);
          const held = await lockAll(holder, targets);
          await withoutNewThreads(agents, directory, async (waiter, allowThreads) => {
            const descriptors = descriptorCount(waiter.pid);
            const waits = targets.map((target) => waiter.lock(target, { timeout: 1500 }));
            const outcomes = await within(Promise.allSettled(waits), 'all waits to end');
            const errors = outcomes.map((outcome) =>
              outcome.status === 'rejected'
                ? (outcome.reason as NodeJS.ErrnoException)
                : { code: 'granted' },
            );
            const denied = errors.filter(({ code }) => code === 'EAGAIN');
            const timedOut = errors.filter(({ code }) => code === 'ETIMEDOUT');
            printFigure(`without new threads: ${denied.length} EAGAIN, ${timedOut.length} waited`);
            expect(denied.length + timedOut.length).toBe(targets.length);
            // At most the threads that were kept from before can wait.
            expect(timedOut.length).toBeLessThanOrEqual(2);
            expect(denied[0]).toMatchObject({
              code: 'EAGAIN',
              syscall: 'pthread_create',
              path: expect.stringMatching(/\.file-\d\.lock$/) as string,
            });
            await until(
              () => descriptorCount(waiter.pid) === descriptors,
              () => `descriptors to be closed: ${descriptorCount(waiter.pid)}, not ${descriptors}`,
            );

            // An uncontended lock and one try need no thread.
            await (await waiter.lock(path.join(directory, 'free'))).release();
            expect(await waiter.tryLock(targets[0] ?? '')).toBeNull();

            // With threads to be had again, waits are served again.
            allowThreads();
            const again = targets.map((target) => waiter.lock(target));
            await waiter.umask();
            await Promise.all(held.map((lock) => lock.release()));
            expect(await within(Promise.all(again), 'waits to be served')).toHaveLength(6);
          });
        }),
      { owner: ordinaryUser },
    ),
);
