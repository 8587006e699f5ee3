import path from 'node:path';

import { JobStore } from 'holdfast';
import type { JobWithLogs, JobFields } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Children } from './helpers/child.js';
import { Histogram } from './helpers/histogram.js';
import { JobAgent } from './helpers/job-agent.js';
import { jobFiles, withStore } from './helpers/job-store.js';
import { withSmallTmpfs } from './helpers/mounts.js';
import { limitAtScale, printFigure, stress } from './helpers/scale.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';

type Job = JobWithLogs<JobFields> | null;

/** A change that begins a log, and one that adds to it. */
const changes = [
  { change: 'of a new job', before: [] },
  { change: 'of one with a log', before: ['the first line', 'the second line'] },
];
const args = ['a', { status: 'completed', result: 'all of it' }, { log: 'the last line' }];

/** Makes the job what it was before the change. */
async function begin(store: JobStore, before: readonly string[]): Promise<Job> {
  await store.remove('a');
  for (const line of before) await store.appendLog('a', line);
  return store.read('a');
}

/** Whether the change is there; throws unless all of it is, or nothing. */
async function isChanged(store: JobStore, before: Job, what: string): Promise<boolean> {
  const job = await store.read('a');
  if (job?.status !== 'completed') {
    expect(job, what).toEqual(before);
    return false;
  }
  const lines = [...(before?.logs ?? []), 'the last line'];
  expect(job, what).toMatchObject({ result: 'all of it', revision: lines.length, logs: lines });
  return true;
}

/** What comes after a failure or a kill must find nothing in its way. */
async function goOn(store: JobStore, directory: string, what: string): Promise<void> {
  const { logs = [], revision = 0 } = (await store.read('a')) ?? {};
  expect(await store.appendLog('a', 'and on'), what).toBe(revision + 1);
  expect((await store.read('a'))?.logs, what).toEqual([...logs, 'and on']);
  // Whatever a crash has left behind: a log without a job, or what another replace would reap.
  expect(await store.prune({ olderThan: Infinity })).toEqual([]);
  expect(jobFiles(directory), what).toHaveLength(2);
}

/** Every system call of one change in turn, as strace names and counts them. */
async function callsOf(
  children: Children,
  store: JobStore,
  directory: string,
  before: readonly string[],
): Promise<{ name: string; occurrence: number; line: string }[]> {
  const agent = await JobAgent.start(children, directory);
  const { calls } = await withSteadyCalls(async () => {
    await begin(store, before);
    return withFaults(children, agent.child.pid, [], () => agent.call('update', ...args));
  });
  return calls.filter((_, at) => stress || at % 8 === 0);
}

describe.runIf(has('strace'))('a change', () => {
  test('that removes a job and fails in unlink() leaves all of it', async () => {
    await withStore(async (store, directory) => {
      await withChildren(async (children) => {
        const agent = await JobAgent.start(children, directory);
        await agent.call('appendLog', 'another', 'line');
        const before = await begin(store, ['the only line']);
        const faults = ['?unlink,?unlinkat:error=EIO'];
        const { value: outcome } = await withFaults(children, agent.child.pid, faults, () =>
          agent.call('remove', 'a'),
        );
        expect(outcome.error?.code).toBe('EIO');
        expect(await store.read('a')).toEqual(before);
        await store.remove('a');
        await store.remove('another');
        await store.prune({ olderThan: Infinity });
        expect(jobFiles(directory)).toEqual([]);
      });
    });
  });

  test.each(changes)(
    'whose system calls fail, each in turn, is there whole or not at all, $change',
    async ({ before }) => {
      await withStore(async (store, directory) => {
        await withChildren(async (children) => {
          await begin(store, before);
          const agent = await JobAgent.start(children, directory);
          // It has opened the store before it is watched.
          await agent.call('appendLog', 'another', 'line');
          await store.remove('another');
          const outcomes = new Histogram();
          for (const { name, occurrence, line } of await callsOf(
            children,
            store,
            directory,
            before,
          )) {
            for (const code of ['EIO', 'ENOSPC']) {
              const job = await begin(store, before);
              const what = `${code} at ${line}`;
              const { value: outcome } = await withFaults(
                children,
                agent.child.pid,
                [`${name}:error=${code}:when=${occurrence}`],
                () => agent.call('update', ...args),
              );
              const changed = await isChanged(store, job, what);
              if (outcome.error === undefined) expect(changed, what).toBe(true);
              outcomes.add(`${outcome.error?.code ?? 'done'}, ${changed ? 'new' : 'old'}`);
              await goOn(store, directory, what);
            }
          }
          printFigure(`system calls that fail in a change: ${String(outcomes)}`);
        });
      });
    },
    limitAtScale(60_000),
  );

  test.each(changes)(
    'that is killed at each system call in turn is there whole or not at all, $change',
    async ({ before }) => {
      await withStore(async (store, directory) => {
        await withChildren(async (children) => {
          await begin(store, before);
          const outcomes = new Histogram();
          for (const { name, occurrence, line } of await callsOf(
            children,
            store,
            directory,
            before,
          )) {
            const job = await begin(store, before);
            const agent = await JobAgent.start(children, directory);
            const what = `killed at ${line}`;
            await withFaults(
              children,
              agent.child.pid,
              [`${name}:signal=KILL:when=${occurrence}`],
              async () => {
                agent.child.send('call', { method: 'update', args });
                expect(await agent.child.waitForExit(), what).toMatchObject({ signal: 'SIGKILL' });
              },
            );
            const changed = await isChanged(store, job, what);
            outcomes.add(changed ? 'new' : 'old');
            await goOn(store, directory, what);
          }
          printFigure(`kills at system calls of a change: ${String(outcomes)}`);
        });
      });
    },
    limitAtScale(60_000),
  );
});

test.runIf(has('mountTmpfs'))(
  'a full disk leaves every job as it was, and what is removed makes room',
  async () => {
    await withSmallTmpfs(async (root) => {
      const store = new JobStore(path.join(root, 'store'));
      const line = 'x'.repeat(1000);
      await store.appendLog('b', line);
      let count = 0;
      let error: unknown = null;
      while (error === null && count < 100) {
        await store.appendLog('a', `${count} ${line}`).then(
          () => count++,
          (reason: unknown) => (error = reason),
        );
      }
      expect(error).toMatchObject({ code: 'ENOSPC' });
      const a = await store.read('a');
      expect(a).toMatchObject({ revision: count, log_lines: count });
      expect(a?.logs.map((one) => Number.parseInt(one))).toEqual(
        Array.from({ length: count }, (_, at) => at),
      );
      expect(await store.remove('b')).toBe(true);
      expect(await store.appendLog('a', 'and on')).toBe(count + 1);
      expect((await store.read('a'))?.logs.at(-1)).toBe('and on');
      expect(jobFiles(store.directory)).toHaveLength(2);
    });
  },
);
