import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { hang } from './helpers/hung-holder.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { limitAtScale, printFigure, stress } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { betweenMarks, ofTheEngine, traceCalls } from './helpers/traced-calls.js';
import type { Call } from './helpers/traced-calls.js';

const ttl = 200;

describe.runIf(has('straceAttach', 'signals'))(
  'a process that is killed while it takes over',
  () => {
    test(
      'leaves the lock to the holder before or to the next one, and never to both',
      async () => {
        await withTemporaryDirectory(async (directory) =>
          withLockAgents(async (agents) => {
            const { calls } = await takeOver(agents, path.join(directory, 'whole'), null);
            const points = betweenMarks(calls).filter(({ name }) => !ofTheEngine.test(name));
            expect(points.map(({ name }) => name)).toEqual(
              expect.arrayContaining(['openat', 'flock', 'linkat', 'renameat']),
            );
            const chosen = points.filter((_, at) => stress || at % 16 === 4);
            for (const [at, point] of chosen.entries()) {
              let killed = false;
              // How often it looks at the holder depends on the moment, so that it may come to its end without that call.
              for (let tries = 0; !killed && tries < 10; tries++) {
                const place = path.join(directory, `${at}-${tries}`);
                ({ killed } = await takeOver(agents, place, point));
              }
              expect(killed, point.line).toBe(true);
            }
            printFigure(
              `killed at ${chosen.length} of the ${points.length} system calls of a take-over`,
            );
          }),
        );
      },
      limitAtScale(60_000),
    );
  },
);

/**
 * Lets a process take the lock of a hung one over, on its main thread, and be killed at `point`. Hands back the system calls
 * that it made, and whether it was killed: it need not have come to that point.
 */
async function takeOver(
  agents: LockAgents,
  directory: string,
  point: Call | null,
): Promise<{ calls: Call[]; killed: boolean }> {
  mkdirSync(directory);
  const target = path.join(directory, 'data');
  const holder = await agents.process();
  const held = await holder.lock(target, { ttl });
  const resume = await hang(holder, directory);
  const taker = agents.children.spawnNode([
    ...['test/fixtures/acquire-and-release.cjs', 'lockSync', target, '{}', '0o022'],
  ]);
  await taker.waitForOutput(/ready/);
  const traced = await traceCalls(agents.children, taker, `${directory}.log`, point);
  taker.process.stdin?.write('.');
  const exit = await taker.waitForExit();
  const calls = await traced();
  const where = `killed at ${point?.line ?? 'no call'}`;
  const killed = point !== null && exit.signal === 'SIGKILL';
  expect(exit, where).toEqual(
    killed ? { code: null, signal: 'SIGKILL' } : { code: 0, signal: null },
  );

  const survivor = await agents.process();
  const replaced = calls.some(({ name }, at) => name === 'renameat' && at < calls.length - 1);
  if (!replaced) {
    // The lock is still the holder's, once it turns again.
    resume();
    await held.state();
    await held.verify();
    expect(await survivor.tryLock(target), where).toBeNull();
    await held.release();
  }
  const next = await survivor.lock(target, { timeout: 10_000 });
  if (replaced) {
    resume();
    expect(await held.loss(), where).toMatchObject({ code: 'ECOMPROMISED' });
  }
  await next.verify();
  await next.release();
  const left = readdirSync(directory).filter((name) => !/^\.data\.lock(\.guard)?$/.test(name));
  // One that was about to rename leaves its name to the next one that comes to this.
  expect(
    left.filter((name) => !/^\.holdfast-.*\.tmp$/.test(name)),
    where,
  ).toEqual([]);
  await Promise.all([holder.exit(), survivor.exit()]);
  return { calls, killed };
}
