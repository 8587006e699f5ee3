import { AsyncLocalStorage } from 'node:async_hooks';
import { readdirSync } from 'node:fs';

import { JobStore, lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { jobFiles, lockTargetIn, withStore } from './helpers/job-store.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale, printFigure } from './helpers/scale.js';

/** The next token of the lock of the one job that there is: each time that it is taken has one of its own. */
async function tokenOf(directory: string): Promise<number> {
  const held = await lock(lockTargetIn(directory));
  await held.release();
  return Number(held.token);
}

describe('changes of one job at the same time', () => {
  test('share a commit, and each sees what those before it have done', () =>
    withStore(async (store, directory) => {
      await store.update('a', { n: 0 });
      const before = await tokenOf(directory);
      const seen = await Promise.all(
        Array.from({ length: 500 }, (_, at) =>
          store.update('a', (job) => ({ n: Number(job?.n) + 1 }), { log: `line ${at}` }),
        ),
      );
      const rounds = (await tokenOf(directory)) - before - 1;
      expect(seen.map((job) => job?.n)).toEqual(Array.from({ length: 500 }, (_, at) => at + 1));
      const job = await store.read('a');
      expect(job).toMatchObject({ n: 500, revision: 501, log_lines: 500 });
      expect(job?.logs).toEqual(Array.from({ length: 500 }, (_, at) => `line ${at}`));
      expect(rounds).toBeLessThanOrEqual(50);
      printFigure(`500 changes at once: ${rounds} commits`);
    }));

  test('one that fails drops its own change and its lines only', () =>
    withStore(async (store) => {
      const mine = new Error('mine');
      const controller = new AbortController();
      const outcomes = await Promise.allSettled([
        store.appendLog('a', 'one'),
        store.update('a', (_job, appendLog) => {
          appendLog('never');
          throw mine;
        }),
        store.update('a', { n: 1 }, { ifRevision: 1, log: 'two' }),
        store.update('a', { n: 2 }, { ifRevision: 1, log: 'conflict' }),
        store.update(
          'a',
          () => {
            controller.abort(mine);
            return { n: 3 };
          },
          { signal: controller.signal },
        ),
        store.appendLog('a', 'three', undefined, { signal: AbortSignal.abort(mine) }),
        store.appendLog('a', 'four'),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual([
        ...['fulfilled', 'rejected', 'fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled'],
      ]);
      for (const at of [1, 4, 5]) expect(outcomes[at]).toMatchObject({ reason: mine });
      expect(outcomes[3]).toMatchObject({ reason: { code: 'ECONFLICT' } });
      expect(await store.read('a')).toMatchObject({
        n: 1,
        revision: 3,
        logs: ['one', 'two', 'four'],
      });
    }));

  test('run each in the asynchronous context of its caller', () =>
    withStore(async (store) => {
      const context = new AsyncLocalStorage<string>();
      const seen: unknown[] = [];
      await Promise.all(
        ['a', 'b'].map((name) =>
          context.run(name, () =>
            store.update('job', () => {
              seen.push(context.getStore());
              return {};
            }),
          ),
        ),
      );
      expect(seen).toEqual(['a', 'b']);
    }));

  test('may remove it and make it again: what comes after is a new job', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'first life');
      const before = jobFiles(directory);
      const [, , removed, revision, late] = await Promise.all([
        store.appendLog('a', 'its last line'),
        store.update('a', { n: 1 }),
        store.remove('a'),
        store.appendLog('a', 'second life'),
        store.update('a', (job) => ({ n: job?.n ?? 'none' })),
      ]);
      expect([removed, revision]).toEqual([true, 1]);
      expect(late).toMatchObject({ n: 'none', revision: 2 });
      expect(await store.read('a')).toMatchObject({ logs: ['second life'], revision: 2 });
      expect(jobFiles(directory)).toHaveLength(2);
      expect(jobFiles(directory)).not.toEqual(before);

      await Promise.all([store.appendLog('b', 'in passing'), store.remove('b')]);
      expect(await store.read('b')).toBeNull();
      expect(jobFiles(directory)).toHaveLength(2);
    }));

  test('are for each job alone, of as many as there are', () =>
    withStore(async (store, directory) => {
      const ids = Array.from({ length: atScale(500, 30) }, (_, at) => `job ${at}`);
      await Promise.all(
        ids.flatMap((id) => [1, 2, 3].map((n) => store.appendLog(id, `${id} ${n}`))),
      );
      for (const id of ids) {
        expect((await store.read(id))?.logs).toEqual([1, 2, 3].map((n) => `${id} ${n}`));
      }
      const locks = readdirSync(directory).filter((name) => name.endsWith('.lock'));
      expect(locks.length, 'not one for each job').toBeLessThanOrEqual(
        Math.min(64, ids.length - 1),
      );
      expect(await store.list()).toEqual([...ids].sort());
    }));
});

describe('the lock', () => {
  test('is waited for until the timeout, and its holder is named; readers need none', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      await withLockAgents(async (agents) => {
        const other = await agents.process();
        const held = await other.lock(lockTargetIn(directory));
        const impatient = new JobStore(directory, { timeout: 30 });
        await expect(impatient.appendLog('a', 'two')).rejects.toMatchObject({
          ...{ name: 'HoldfastError', code: 'ETIMEDOUT', holder: { pid: other.pid } },
        });
        await expect(
          new JobStore(directory, { timeout: 0 }).update('a', { n: 1 }),
        ).rejects.toMatchObject({ code: 'ETIMEDOUT' });
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = await mustBlock(
          Promise.all([
            store.appendLog('a', 'three'),
            expect(store.remove('a', { signal })).rejects.toBe('enough'),
          ]),
          'a change while the lock is held',
        );
        controller.abort('enough');
        expect(await store.read('a')).toMatchObject({ logs: ['one'], revision: 1 });
        await held.release();
        await waiting();
      });
      expect(await store.read('a')).toMatchObject({ logs: ['one', 'three'], revision: 2 });
    }));

  test('goes to another process while callers here come back at once, again and again', () =>
    withStore(async (store, directory) => {
      await store.appendLog('job-0', 'one');
      let stop = false;
      const callers = Array.from({ length: 20 }, async () => {
        while (!stop) await store.appendLog('job-0', 'more');
      });
      await withChildren(async (children) => {
        const last = atScale(100, 12);
        // Ours is one of its jobs.
        const theirs = children.fork('job-writer.mjs', {
          args: [directory, 'theirs', '1', `${last}`],
        });
        await theirs.waitForMessage('ready');
        const start = performance.now();
        const before = (await store.read('job-0', { logs: false }))?.revision ?? 0;
        theirs.send('go');
        await theirs.waitForMessage('done');
        expect(await theirs.waitForExit()).toEqual({ code: 0, signal: null });
        const elapsed = performance.now() - start;
        const after = (await store.read('job-0', { logs: false }))?.revision ?? 0;
        printFigure(
          `beside ${after - before} lines of 20 callers, another process made its ${last} changes in ${elapsed.toFixed(0)} ms`,
        );
      });
      stop = true;
      await Promise.all(callers);
    }));
});
