import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock, lockSync, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child } from './helpers/child.js';
import { hang } from './helpers/hung-holder.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ttl = 300;

/** Somebody who is stopped in the middle of a take-over, until his standard input ends. */
async function stopInGuard(start: (command: string, args: string[]) => Child, target: string) {
  const guard = path.join(path.dirname(target), `.${path.basename(target)}.lock.guard`);
  const child = start('flock', [guard, 'sh', '-c', 'echo inside; cat']);
  await child.waitForOutput(/inside/);
  return async (): Promise<void> => {
    child.process.stdin?.end();
    expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
  };
}

describe.runIf(has('flockCommand', 'posixShell', 'signals', 'sameStartTime'))(
  'while somebody is stopped in the middle of a take-over',
  () => {
    test('a lock with a ttl before it is granted when he goes on, and whoever waits is bounded', async () => {
      await withTemporaryDirectory(async (directory) =>
        withChildren(async (children) => {
          const target = path.join(directory, 'file');
          // Released, yet somebody may have seen it hang just before.
          await (await lock(target, { ttl })).release();
          const goOn = await stopInGuard((...command) => children.spawn(...command), target);

          expect(await tryLock(target)).toBeNull();
          await expect(lock(target, { timeout: 200 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
          expect(() => lockSync(target, { timeout: 200 })).toThrow(/^ETIMEDOUT/);
          const reason = new Error('enough');
          const controller = new AbortController();
          const aborted = await mustBlock(
            lock(target, { signal: controller.signal }).catch((error: unknown) => error),
            'a lock that is guarded',
          );
          controller.abort(reason);
          expect(await aborted()).toBe(reason);

          const granted = await mustBlock(lock(target), 'a lock that is guarded');
          await goOn();
          const held = await granted();
          await held.release();
          // One without a ttl has come in between: nobody can be about to take over any more.
          const goOnLater = await stopInGuard((...command) => children.spawn(...command), target);
          await (await lock(target, { timeout: 10_000 })).release();
          await goOnLater();
        }),
      );
    });

    test('a commit under the lock waits, fails in the end, and writes nothing', async () => {
      await withTemporaryDirectory(async (directory) =>
        withChildren(async (children) => {
          const target = path.join(directory, 'file');
          writeFileSync(target, 'old');
          const held = await lock(target, { ttl: 60_000 });
          const goOn = await stopInGuard((...command) => children.spawn(...command), target);
          await expect(held.replaceFile('new', { retry: 100 })).rejects.toMatchObject({
            code: 'EBUSY',
            phase: 'lock',
            targetState: 'old',
            path: held.lockPath,
          });
          expect(readFileSync(target, 'utf8')).toBe('old');
          const committed = await mustBlock(held.replaceFile('new'), 'a commit that is guarded');
          await goOn();
          await committed();
          expect(readFileSync(target, 'utf8')).toBe('new');
          await held.release();
        }),
      );
    });

    test('a take-over waits, until he goes on or the holder shows a sign of life', async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'file');
          const holder = await agents.process();
          const held = await holder.lock(target, { ttl });
          const resume = await hang(holder, directory);
          const goOn = await stopInGuard((...command) => agents.children.spawn(...command), target);
          await expect(lock(target, { timeout: 4 * ttl })).rejects.toMatchObject({
            code: 'ETIMEDOUT',
          });
          const granted = await mustBlock(lock(target), 'a take-over that is guarded');
          await goOn();
          const next = await granted();
          resume();
          expect(await held.loss()).toMatchObject({ code: 'ECOMPROMISED' });
          await next.release();
        }),
      );
    });
  },
);

test.runIf(has('flockCommand', 'posixShell', 'signals'))(
  'who takes the lock file without a record is not robbed for the holder with a ttl that died before',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const holder = await agents.process();
        const held = await holder.lock(target, { ttl });
        holder.kill('SIGKILL');
        expect(await holder.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
        const other = agents.children.spawn('flock', [held.lockPath, 'sh', '-c', 'echo in; cat']);
        await other.waitForOutput(/in/);
        await expect(lock(target, { timeout: 4 * ttl })).rejects.toMatchObject({
          code: 'ETIMEDOUT',
        });
        other.process.stdin?.end();
        expect(await other.waitForExit()).toEqual({ code: 0, signal: null });
        const next = await lock(target);
        expect(next.lockPath).toBe(held.lockPath);
        expect(next.previousHolder).toMatchObject({ pid: holder.pid });
        await next.release();
      }),
    );
  },
);
