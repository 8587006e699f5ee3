import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import type { ChildExit } from './helpers/child.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent, WorkerAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const forms = ['lock', 'lockSync'] as const;

async function takeTwo(holder: LockAgent, target: string, form: (typeof forms)[number]) {
  await holder[form](target);
  await holder[form](`${target}-shared`, { shared: true });
}

describe('the end of a worker frees its locks, and nobody is told of a crash', () => {
  const ends: [name: string, end: (holder: WorkerAgent) => Promise<unknown>, code: number][] = [
    ['worker.terminate()', (holder) => holder.terminate(), 1],
    ['process.exit() in it', (holder) => holder.exit(3), 3],
    ['an uncaught exception in it', (holder) => holder.throw(), 1],
  ];
  test.each(ends)('%s', async (_name, end, code) => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        for (const form of forms) {
          const target = path.join(directory, form);
          const holder = await agents.worker();
          const waiter = await agents.process();
          await takeTwo(holder, target, form);
          const granted = await mustBlock(waiter.lock(target), 'a lock that a worker holds');
          const both = await mustBlock(lock(`${target}-shared`), 'a lock that it holds shared');
          await end(holder);
          const next = await granted();
          expect(next.previousHolder).toBeNull();
          await next.release();
          await (await both()).release();
          expect(await holder.ended).toBe(code);
        }
      }),
    );
  });
});

describe('the end of a process frees its locks, and the next holder is told', () => {
  type Ending = [name: string, end: (holder: ProcessAgent) => Promise<void>, exit: ChildExit];
  const ends: Ending[] = [
    ['process.exit()', (holder) => holder.exit(3), { code: 3, signal: null }],
    ['an uncaught exception', (holder) => holder.throw(), { code: 1, signal: null }],
    ['SIGTERM', kill('SIGTERM'), { code: null, signal: 'SIGTERM' }],
    ['SIGKILL', kill('SIGKILL'), { code: null, signal: 'SIGKILL' }],
    // Node on Windows ends processes by a few signals only.
    ...(has('signals')
      ? [['SIGSEGV', kill('SIGSEGV'), { code: null, signal: 'SIGSEGV' }] as Ending]
      : []),
  ];
  test.each(ends)('%s', async (_name, end, exit) => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        for (const form of forms) {
          const target = path.join(directory, form);
          const holder = await agents.process();
          await takeTwo(holder, target, form);
          const granted = await mustBlock(lock(target), 'a lock that another process holds');
          const both = await mustBlock(lock(`${target}-shared`), 'a lock that it holds shared');
          await end(holder);
          expect(await holder.waitForExit()).toEqual(exit);
          const next = await granted();
          expect(next.previousHolder).toMatchObject({ pid: holder.pid, self: false });
          await next.release();
          // A shared holder leaves no name.
          const nextOfShared = await both();
          expect(nextOfShared.previousHolder).toBeNull();
          await nextOfShared.release();
          const last = await tryLock(target);
          expect(last?.previousHolder).toBeNull();
          await last?.release();
        }
      }),
    );
  });
});

test('a process whose work is done ends though it holds a lock, which its end gives back in order', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    const exit = await runNode(['-e', 'require("holdfast").lock(process.argv[1])', target]);
    expect(exit).toMatchObject({ code: 0, signal: null, stderr: '' });
    const next = await lock(target);
    expect(next.previousHolder).toBeNull();
    await next.release();
  });
});

function kill(signal: NodeJS.Signals): (holder: ProcessAgent) => Promise<void> {
  return (holder) => {
    holder.kill(signal);
    return Promise.resolve();
  };
}
