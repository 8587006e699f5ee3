import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { mustBlock } from './helpers/must-block.js';
import { withChildren } from './helpers/child.js';
import type { Child, Children } from './helpers/child.js';
import { has } from './helpers/capabilities.js';
import { kernelWaiters, until } from './helpers/process-figures.js';
import { atScale, limitAtScale, ms, printFigure, quantile } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const rounds = atScale(200, 4);
const atATime = 4;
/** What "at once" is at the very most, on a machine that has much else to do. */
const atOnce = 5000;

interface Scenario {
  held?: string[];
  waited?: string[];
  end: string;
}

function start(children: Children, scenario: Scenario): Child {
  return children.fork('ending.mjs', { args: [JSON.stringify(scenario)] });
}

const spin = (milliseconds: number): void => {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
};

const states = {
  'while it waits': { holds: false, waits: 1 },
  'while it waits for several locks': { holds: false, waits: 4 },
  'while it holds a lock': { holds: true, waits: 0 },
  'while it holds a lock and waits for others': { holds: true, waits: 2 },
};
const ends = { exit: 7, throw: 1, rejection: 1, exitInCallback: 7 };

async function endOnce(
  directory: string,
  { holds, waits }: { holds: boolean; waits: number },
  end: string,
  race: boolean,
): Promise<{ exit: unknown; duration: number }> {
  return withChildren(async (children) => {
    const own = path.join(directory, 'own');
    const waited = Array.from({ length: waits }, (_, index) => path.join(directory, `${index}`));
    const locks = await Promise.all(waited.map((target) => lock(target)));
    const release = (): void => locks.splice(0).forEach((held) => held.releaseSync());
    const held = holds || end === 'exitInCallback' ? [own] : [];
    const child = start(children, { held, waited, end });
    await child.waitForMessage('ready');

    const started = performance.now();
    const releaseFirst = race && Math.random() < 0.5;
    if (releaseFirst) release();
    if (releaseFirst) spin(Math.random() * 0.5);
    child.send('end');
    if (race) spin(Math.random() * 0.5);
    if (race) release();
    const exit = await child.waitForExit();
    const duration = performance.now() - started;
    release();
    for (const target of [own, ...waited]) {
      const free = await tryLock(target);
      expect(free).not.toBeNull();
      await free?.release();
    }
    return { exit, duration };
  });
}

describe.each(Object.entries(states))('a process ends at once %s', (situation, state) => {
  test.each(Object.entries(ends))(
    'by %s, with code %d and no signal, also when the locks are released meanwhile',
    (end, code) =>
      withTemporaryDirectory(async (directory) => {
        const durations: number[] = [];
        const loop = async (lane: number): Promise<void> => {
          const laneDirectory = path.join(directory, String(lane));
          for (let round = lane; round < rounds; round += atATime) {
            const race = round % 2 === 1 && state.waits > 0;
            const { exit, duration } = await endOnce(laneDirectory, state, end, race);
            expect(exit).toEqual({ code, signal: null });
            durations.push(duration);
          }
        };
        const lanes = Array.from({ length: Math.min(atATime, rounds) }, (_, lane) => lane);
        await Promise.all(lanes.map((lane) => mkdir(path.join(directory, String(lane)))));
        await Promise.all(lanes.map(loop));
        printFigure(
          `${situation}, ${end}: median ${ms(quantile(durations, 0.5))}, ` +
            `at most ${ms(Math.max(...durations))} (${durations.length} processes)`,
        );
        expect(Math.max(...durations)).toBeLessThan(atOnce);
      }),
    limitAtScale(30_000),
  );
});

test.each([
  ['exits', 'exitOnGrant', 7],
  ['throws', 'throwOnGrant', 1],
])(
  'a process that %s as soon as it is granted ends at once',
  (_what, end, code) =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'file');
      for (let round = 0; round < atScale(200, 3); round++) {
        await withChildren(async (children) => {
          const held = await lock(target);
          const child = start(children, { waited: [target], end });
          await child.waitForMessage('ready');
          await held.release();
          expect(await child.waitForExit()).toEqual({ code, signal: null });
          const free = await tryLock(target);
          expect(free).not.toBeNull();
          await free?.release();
        });
      }
    }),
  limitAtScale(30_000),
);

test('process.exit() in onWait ends the process at once', () =>
  withTemporaryDirectory((directory) =>
    withChildren(async (children) => {
      const target = path.join(directory, 'file');
      const held = await lock(target);
      const child = start(children, { waited: [target], end: 'exitInOnWait' });
      expect(await child.waitForExit()).toEqual({ code: 7, signal: null });
      await held.release();
    }),
  ));

describe.runIf(has('proc'))('what keeps a process alive', () => {
  test.each([1, 4])('%d pending waits do, until they are served', (waits) =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const waited = Array.from({ length: waits }, (_, n) => path.join(directory, `file-${n}`));
        const locks = await Promise.all(waited.map((target) => lock(target)));
        const child = start(children, { waited, end: 'releaseOnGrant' });
        await child.waitForMessage('ready');
        await until(
          () => locks.every(({ lockPath }) => kernelWaiters(lockPath) === 1),
          'the waits to reach the kernel',
        );
        // Served one by one, and alive before each.
        let exit = await mustBlock(child.waitForExit(), 'the end of the process');
        for (const held of locks) {
          exit = await mustBlock(exit(), 'the end of the process');
          await held.release();
        }
        expect(await exit()).toEqual({ code: 0, signal: null });
        expect(child.stderr).toBe('');
      }),
    ),
  );

  test('a held lock does not', () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'file');
        const child = start(children, { held: [target], end: 'fallOff' });
        await child.waitForMessage('ready');
        child.send('end');
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        const next = await lock(target, { timeout: 10_000 });
        await next.release();
      }),
    ));
});
