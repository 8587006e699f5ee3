import { setTimeout as sleep } from 'node:timers/promises';

import type { StoredJob, JobFields } from 'holdfast';
import { expect, test } from 'vitest';

import { jobFiles, withStore } from './helpers/job-store.js';
import { atScale, limitAtScale } from './helpers/scale.js';

/** Waits until jobs that were changed before are older than no time at all. */
async function untilLater(): Promise<void> {
  const now = Date.now();
  while (Date.now() <= now) await sleep(1);
}

test('removes the jobs that have not changed for so long, with their logs, and names them', () =>
  withStore(async (store, directory) => {
    for (const id of ['a', 'B', 'c']) await store.appendLog(id, 'line');
    expect(await store.prune({ olderThan: 3_600_000 })).toEqual([]);
    await untilLater();
    expect((await store.prune({ olderThan: 0 })).sort()).toEqual(['B', 'a', 'c']);
    expect(jobFiles(directory)).toEqual([]);
    expect(await store.list()).toEqual([]);
  }));

test('asks about each, and once more when nobody can change it', () =>
  withStore(async (store) => {
    await store.update('done', { status: 'completed', result: 1 });
    await store.update('under way', {});
    const asked: string[] = [];
    const filter = (job: StoredJob<JobFields>): boolean => {
      asked.push(job.id);
      return job.status === 'completed';
    };
    await untilLater();
    expect(await store.prune({ olderThan: 0, filter })).toEqual(['done']);
    expect(asked.sort()).toEqual(['done', 'done', 'under way']);
    expect(await store.list()).toEqual(['under way']);
  }));

test('lets a job be that changes just then', () =>
  withStore(async (store) => {
    await store.update('a', { status: 'failed' });
    await untilLater();
    const retrying: Promise<unknown>[] = [];
    const filter = (job: StoredJob<JobFields>): boolean => {
      // Comes before the removal, which looks again.
      if (retrying.length === 0) {
        retrying.push(store.update('a', { status: 'processing' }, { log: 'retry' }));
      }
      return job.status === 'failed';
    };
    expect(await store.prune({ olderThan: 0, filter })).toEqual([]);
    await Promise.all(retrying);
    expect(await store.read('a')).toMatchObject({ status: 'processing', logs: ['retry'] });
  }));

test(
  'and other removals are nothing that readers stumble over',
  { timeout: limitAtScale(30_000) },
  () =>
    withStore(async (store, directory) => {
      let stop = false;
      const readers = [1, 2, 3].map(async () => {
        let reads = 0;
        for (; !stop; reads++) {
          const job = await store.read('a');
          // All that there is, is of one life.
          const [life] = (job?.logs[0] ?? '').split(' ');
          const lines = (job?.logs ?? []).map((_line, at) => `${life} ${at}`);
          if (job !== null)
            expect(job).toMatchObject({ life, revision: lines.length, logs: lines });
        }
        return reads;
      });
      for (let life = 0; life < atScale(2000, 12); life++) {
        await store.update('a', { life: `${life}` }, { log: `${life} 0` });
        await store.appendLog('a', `${life} 1`);
        await untilLater();
        expect(await store.prune({ olderThan: 0 })).toEqual(['a']);
      }
      stop = true;
      const reads = await Promise.all(readers);
      expect(Math.min(...reads)).toBeGreaterThan(0);
      expect(jobFiles(directory)).toEqual([]);
    }),
);
