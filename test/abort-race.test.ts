import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { lock } from 'holdfast';
import type { FileLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { descriptorCount, threadCount, until } from './helpers/process-figures.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const rounds = atScale(10_000, 400);
/** Threads that may stay for the next wait. */
const spareThreads = 2;

/** Who holds the lock when a round begins, and how that one lets go. */
interface Holder {
  take(target: string): Promise<{ release: () => Promise<unknown> }>;
}

const thisProcess: Holder = { take: (target) => lock(target) };

/** The callers of a round: the modes of those whose wait is aborted, and of those who stay. */
const scenarios: { name: string; aborted: boolean[]; staying: boolean[] }[] = [
  { name: 'one caller', aborted: [false], staying: [] },
  { name: 'one shared caller', aborted: [true], staying: [] },
  { name: 'a caller before another', aborted: [false], staying: [false] },
  { name: 'a shared caller before another', aborted: [true], staying: [true] },
  { name: 'an exclusive caller before a shared one', aborted: [false], staying: [true] },
  { name: 'a shared caller before an exclusive one', aborted: [true], staying: [false] },
  { name: 'two callers before a third', aborted: [false, true], staying: [false] },
];

interface Tally {
  granted: number;
  aborted: number;
}

/**
 * Runs the rounds: somebody releases the lock and a moment later the wait is aborted. That moment follows the outcomes,
 * so that each side wins now and then on every machine.
 */
async function race(target: string, holder: Holder): Promise<Map<string, Tally>> {
  const tallies = new Map(scenarios.map(({ name }) => [name, { granted: 0, aborted: 0 }]));
  const moments = new Map(scenarios.map(({ name }) => [name, 0.1]));
  for (let round = 0; round < rounds; round++) {
    const scenario = scenarios[round % scenarios.length] as (typeof scenarios)[number];
    const moment = moments.get(scenario.name) ?? 0;
    const jitter = moment * 2 * Math.random();

    const held = await holder.take(target);
    const controller = new AbortController();
    const { signal } = controller;
    const racing = scenario.aborted.map((shared) => lock(target, { shared, signal }));
    const staying = scenario.staying.map((shared) => lock(target, { shared }));
    // Some waits have begun in the kernel when the lock is released, and some have not.
    if (round % 3 !== 0) await nextTurn();

    const settled = Promise.allSettled(racing);
    const releasing = held.release();
    const abortAt = performance.now() + jitter;
    while (performance.now() < abortAt) {
      // In some rounds the grant is there and cannot be delivered before the abort.
      if (round % 5 !== 0) await nextTurn();
    }
    controller.abort();
    await releasing;

    const locks: FileLock[] = [];
    for (const outcome of await settled) {
      if (outcome.status === 'fulfilled') locks.push(outcome.value);
      else expect(outcome.reason).toBe(signal.reason);
    }
    const tally = tallies.get(scenario.name) as Tally;
    const granted = locks.length > 0;
    tally[granted ? 'granted' : 'aborted']++;
    // A quarter each time: quick to find the place where the race is, and to stay there.
    moments.set(scenario.name, Math.min(20, Math.max(0.002, moment * (granted ? 0.8 : 1.25))));

    const others = staying.map(async (wait) => (await wait).release());
    for (const one of locks) {
      one.verify();
      await one.release();
    }
    await within(
      Promise.all(others),
      () => `those who did not give up (${scenario.name}, round ${round})`,
    );
  }
  return tallies;
}

describe.runIf(has('proc'))('an abort that races the grant', () => {
  test.each(['this process', 'another process', 'another thread'] as const)(
    'never leaves the lock taken, nor a descriptor or a thread behind; the holder is %s',
    (kind) =>
      withTemporaryDirectory((directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'file');
          const witness = await agents.process();
          let holder = thisProcess;
          if (kind !== 'this process') {
            const agent: LockAgent =
              kind === 'another process' ? await agents.process() : await agents.worker();
            holder = { take: (file) => agent.lock(file) };
          }
          await (await lock(path.join(directory, 'warm-up'))).release();
          const threads = threadCount();
          const descriptors = descriptorCount();

          const tallies = await race(target, holder);

          for (const [name, { granted, aborted }] of tallies) {
            printFigure(`${kind}, ${name}: granted ${granted}, aborted ${aborted}`);
          }
          const all = [...tallies.values()];
          const granted = all.reduce((sum, tally) => sum + tally.granted, 0);
          const percent = (100 * granted) / rounds;
          printFigure(`${kind}: the grant won ${percent.toFixed(1)} % of ${rounds} rounds`);
          expect(percent).toBeGreaterThanOrEqual(5);
          expect(percent).toBeLessThanOrEqual(95);

          const free = await witness.tryLock(target);
          expect(free).not.toBeNull();
          await free?.release();
          await until(
            () => descriptorCount() <= descriptors,
            () => `descriptors to be closed: ${descriptorCount()}, not ${descriptors}`,
          );
          await until(
            () => threadCount() <= threads + spareThreads,
            () => `threads to end: ${threadCount()}, not ${threads}`,
          );
        }),
      ),
    limitAtScale(30_000),
  );
});
