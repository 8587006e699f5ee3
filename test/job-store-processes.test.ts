import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobStore } from 'holdfast';
import { expect, test } from 'vitest';

import type { Children } from './helpers/child.js';
import { sum, withJobReaders } from './helpers/job-readers.js';
import type { JobReads } from './helpers/job-readers.js';
import { atScale, limitAtScale, ms, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ids = ['job-0', 'job-1', 'job-2'];

/** The lines whose changes were acknowledged, by the name of the run that made them. */
type Acknowledged = Map<string, number[]>;

interface Written {
  acknowledged: Acknowledged;
  kills: number;
}

/** Makes changes `1` to `last` in a process that is killed `kills` times on the way and started again. */
async function write(
  children: Children,
  directory: string,
  { writer, last, kills }: { writer: string; last: number; kills: number },
): Promise<Written> {
  const acknowledged: Acknowledged = new Map();
  let killed = 0;
  let first = 1;
  for (let run = 0; first <= last; run++) {
    const name = `${writer}.${run}`;
    const numbers: number[] = [];
    acknowledged.set(name, numbers);
    const child = children.fork('job-writer.mjs', {
      args: [directory, name, `${first}`, `${last}`],
    });
    // The more is left to do, the later.
    const killAt = run < kills ? Math.ceil((Math.random() * (last - first)) / (kills - run)) : -1;
    child.process.on('message', (message: { name: string; number: number }) => {
      if (message.name !== 'acknowledged') return;
      numbers.push(message.number);
      if (numbers.length === killAt)
        void sleep(Math.random() * 5).then(() => child.kill('SIGKILL'));
    });
    await child.waitForMessage('ready');
    child.send('go');
    const exit = await child.waitForExit(limitAtScale(80_000));
    if (exit.signal === 'SIGKILL') killed++;
    else expect(exit).toEqual({ code: 0, signal: null });
    first = Math.max(first - 1, ...numbers) + 1;
  }
  return { acknowledged, kills: killed };
}

/** Checks what is there when every writer has ended; the number of changes that were acknowledged, and of all. */
async function count(directory: string, acknowledged: Acknowledged): Promise<[number, number]> {
  const store = new JobStore(directory);
  const written = new Map<string, number[]>();
  let total = 0;
  for (const id of ids) {
    const job = await store.read(id);
    expect(job?.revision).toBe(job?.logs.length);
    total += job?.logs.length ?? 0;
    for (const line of job?.logs ?? []) {
      const [, name = '', number] = line.split(' ');
      const key = `${id} of ${name}`;
      written.set(key, [...(written.get(key) ?? []), Number(number)]);
    }
  }
  for (const [key, numbers] of written) {
    const inOrder = [...new Set(numbers)].sort((a, b) => a - b);
    expect(numbers, `${key}: in order, and none twice`).toEqual(inOrder);
  }
  let known = 0;
  for (const [name, numbers] of acknowledged) {
    const there = new Set(ids.flatMap((id) => written.get(`${id} of ${name}`) ?? []));
    expect(
      numbers.filter((number) => !there.has(number)),
      `lost by ${name}`,
    ).toEqual([]);
    known += numbers.length;
  }
  const left = readdirSync(directory).filter((name) => !/^(\.jobs-..\.lock|job-.*)$/.test(name));
  expect(left).toEqual(['.job-store.json']);
  return [known, total];
}

test(
  'what was acknowledged is there, in the order of its writer, though writers are killed; no reader sees half of it',
  async () => {
    const last = atScale(300, 15);
    const kills = atScale(6, 1);
    let reads: JobReads = { reads: 0, completed: 0, failed: 0 };
    for (let pass = 1; pass === 1 || reads.reads < atScale(100_000, 0); pass++) {
      await withTemporaryDirectory(async (directory) => {
        const start = performance.now();
        const run = await withJobReaders(directory, ids, async (children) =>
          Promise.all(
            Array.from({ length: 8 }, (_, index) =>
              write(children, directory, { writer: `writer-${index}`, last, kills }),
            ),
          ),
        );
        const elapsed = performance.now() - start;
        reads = sum([reads, run.reads]);
        const acknowledged = new Map(run.value.flatMap((each) => [...each.acknowledged]));
        const [known, total] = await count(directory, acknowledged);
        const killed = run.value.reduce((all, each) => all + each.kills, 0);
        expect(killed).toBeGreaterThan(0);
        // Of those under way at a kill some were committed and not acknowledged.
        expect(total).toBeLessThanOrEqual(known + killed * 3);
        printFigure(
          `8 processes x ${last} changes with ${killed} kills: ${known} acknowledged and there, ${total} in all, ` +
            `${ms(elapsed / total)} each; so far ${reads.reads} whole reads ` +
            `(${reads.completed} of completed jobs, ${reads.failed} of failed ones)`,
        );
      });
    }
  },
  limitAtScale(90_000),
);
