import { readdirSync } from 'node:fs';
import path from 'node:path';

import { JobStore } from 'holdfast';
import type { JobFields } from 'holdfast';
import { expect, test } from 'vitest';

import { withJobReaders } from '../../helpers/job-readers.js';
import { atScale, limitAtScale, printFigure } from '../../helpers/scale.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';

// Two pipelines wrote `jobs[job_id]`, each the whole of it as it had last read it. The day a retry button and a cancel route
// came, changes went missing, and readers saw jobs that were completed and had no result.

interface Job extends JobFields {
  status: 'processing' | 'failed' | 'cancelled' | 'completed';
  result?: { by: string };
  counted?: number;
  retries?: number;
  render?: 'done';
  captions?: 'done';
  render_step?: number;
  captions_step?: number;
}

/** Ids come from outside, and mean harm. */
const idsOf = (count: number): string[] => {
  const ids = ['../../etc/passwd', 'CON', 'Upload', 'upload', 'a/b', 'a_b', 'line\nfeed', '.', 'ä'];
  return Array.from({ length: count }, (_, index) => ids[index] ?? `upload ${index}`);
};

test(
  'two pipelines, a retry button and a cancel route: no change is lost, and nobody sees half of one',
  async () => {
    await withTemporaryDirectory(async (parent) => {
      const directory = path.join(parent, 'store');
      const ids = idsOf(atScale(60, 12));
      const steps = atScale(40, 4);
      const { value: pressed, reads } = await withJobReaders(directory, ids, async (children) => {
        const all = [
          children.fork('job-pipeline.mjs', {
            args: [directory, 'render', 'captions', `${steps}`, ...ids],
          }),
          children.fork('job-pipeline.mjs', {
            args: [directory, 'captions', 'render', `${steps}`, ...ids],
          }),
          children.fork('job-buttons.mjs', { args: [directory, ...ids] }),
        ];
        for (const child of all) await child.waitForMessage('ready');
        for (const child of all) child.send('go');
        const messages = await Promise.all(
          all.map((child) => child.waitForMessage('done', limitAtScale(80_000))),
        );
        for (const child of all) {
          expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        }
        return messages[2] as unknown as {
          cancelled: string[];
          retried: number;
          conflicts: number;
        };
      });

      const store = new JobStore<Job>(directory);
      expect(await store.list()).toEqual([...ids].sort());
      expect(pressed.cancelled.sort()).toEqual(ids.filter((_id, index) => index % 4 === 1).sort());
      let retried = 0;
      for (const [index, id] of ids.entries()) {
        const job = await store.read(id);
        if (job === null) throw new Error(`${id} is gone`);
        const { status, result, logs, retries = 0 } = job;
        retried += retries;
        expect(job).toMatchObject({ id, counted: logs.length, revision: logs.length });
        if (pressed.cancelled.includes(id)) {
          expect(status).toBe('cancelled');
          expect(logs.at(-1), 'nothing comes after it').toBe('count cancel');
          continue;
        }
        expect(job).toMatchObject({ status: 'completed', render: 'done', captions: 'done' });
        expect(job).toMatchObject({ render_step: steps, captions_step: steps });
        expect(logs.at(-1)).toBe(result?.by);
        // Of the two presses for a failure the first counts; the other one was for what is no longer so.
        expect(retries).toBe(index % 3 === 0 ? 1 : 0);
        expect(logs).toHaveLength(2 * steps + 2 + 2 * retries);
        for (const name of ['render', 'captions']) {
          const own = logs.filter((line) => line.startsWith(`count ${name} step`));
          expect(own).toEqual(
            Array.from({ length: steps }, (_, at) => `count ${name} step ${at + 1}`),
          );
        }
      }
      expect(pressed.retried).toBe(retried);
      expect(pressed.conflicts).toBeGreaterThanOrEqual(retried);
      expect(readdirSync(parent), 'no id leads out of the directory').toEqual(['store']);
      printFigure(
        `2 pipelines x ${ids.length} jobs x ${steps} steps: ${pressed.cancelled.length} cancelled, ${retried} retries, ` +
          `${pressed.conflicts} presses too late; ${reads.reads} whole reads`,
      );
    });
  },
  limitAtScale(90_000),
);
