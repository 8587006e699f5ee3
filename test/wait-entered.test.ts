import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

import { inspectLock, lock } from 'holdfast';
import { expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

async function untilHeldBy({ pid }: { pid: number }, target: string): Promise<void> {
  await until(
    async () => (await inspectLock(target)).holder?.pid === pid,
    () => `the lock file names ${pid}`,
  );
}

test('a lock is entered when the kernel grants it, although its caller cannot be told yet', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      const waiter = await agents.process();
      // The wait for the next one begins at once, since its directory was touched before.
      await (await waiter.lock(`${target}-warm-up`)).release();
      const held = await lock(target);
      const waiting = waiter.lock(target);
      const file = path.join(directory, 'end-of-block');
      await waiter.call('blockUntil', file);
      await held.release();
      await untilHeldBy(waiter, target);
      writeFileSync(file, '');
      const granted = await waiting;
      expect(granted).toMatchObject({ held: true, previousHolder: null });
      await granted.release();
      expect((await inspectLock(target)).state).toBe('free');
    }),
  ));

interface Late {
  pid: number;
  ended: Promise<unknown>;
}

/** A process whose wait is aborted, or a worker that ends, before it can be told of its grant. */
const tooLate: Record<string, (agents: LockAgents, scenario: object) => Promise<Late>> = {
  async abort(agents, scenario) {
    const child = agents.children.fork('granted-too-late.mjs', {
      args: [JSON.stringify({ ...scenario, end: 'abort' })],
    });
    await child.waitForMessage('waiting');
    return { pid: child.pid, ended: child.waitForExit().then(({ code }) => code) };
  },
  async 'worker end'(_agents, scenario) {
    const worker = new Worker(path.join(fixturesDirectory, 'granted-too-late.mjs'), {
      workerData: { ...scenario, end: 'exit' },
      execArgv: [],
    });
    const ended = once(worker, 'exit').then(([code]) => code as number);
    await within(once(worker, 'message'), 'the worker to wait');
    return { pid: process.pid, ended };
  },
};

test.each(Object.keys(tooLate))(
  'what a caller was granted too late to be told is given back, with what it found: %s',
  (way) =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const dying = await agents.process();
        await dying.lock(target);
        const file = path.join(directory, 'end-of-block');
        const late = await tooLate[way]?.(agents, { target, file });
        if (late === undefined) throw new Error(`there is no ${way}`);
        dying.kill('SIGKILL');
        await untilHeldBy(late, target);
        writeFileSync(file, '');
        expect(await within(late.ended, `the ${way}`)).toBe(0);
        const next = await lock(target);
        expect(next.previousHolder).toMatchObject({ pid: dying.pid });
        await next.release();
      }),
    ),
);

test('a wait that is handed on records the session of the caller who gets the lock', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'file');
      const other = await agents.process();
      const held = await other.lock(target);
      const giving = new AbortController();
      const first = lock(target, { session: 'first', signal: giving.signal });
      const second = await mustBlock(lock(target, { session: 'second' }), 'the second caller');
      giving.abort(new Error('not wanted any more'));
      await expect(first).rejects.toThrow('not wanted any more');
      await held.release();
      const granted = await second();
      expect((await inspectLock(target)).holder).toMatchObject({ session: 'second' });
      await granted.release();
    }),
  ));
