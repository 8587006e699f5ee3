import { chmod, readFile, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { inspectLock, lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** Everything that somebody who does not get the lock can try. */
async function contend(target: string): Promise<void> {
  expect(await tryLock(target)).toBeNull();
  expect(tryLockSync(target)).toBeNull();
  expect(await tryLock(target, { shared: true })).toBeNull();
  await expect(lock(target, { timeout: 5, lockFileMode: 0o666 })).rejects.toThrow(/ETIMEDOUT/);
  expect(() => lockSync(target, { timeout: 5, session: 'contender' })).toThrow(/ETIMEDOUT/);
  await inspectLock(target);
}

test('a contender neither rewrites, shortens, chmods nor deletes the lock file of its holder', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const lockPath = path.join(directory, '.data.lock');
      const held = await (await agents.process()).lock(target, { session: 'holder' });
      await chmod(lockPath, 0o640);
      const contents = await readFile(lockPath);
      const before = await stat(lockPath, { bigint: true });
      await contend(target);
      expect(await readFile(lockPath)).toEqual(contents);
      const { ino, mode, size, mtimeNs, ctimeNs } = await stat(lockPath, { bigint: true });
      expect({ ino, mode, size, mtimeNs, ctimeNs }).toEqual({
        ino: before.ino,
        mode: before.mode,
        size: before.size,
        mtimeNs: before.mtimeNs,
        ctimeNs: before.ctimeNs,
      });
      await held.release();
    }),
  ));

test('a living holder is never evicted for the age of its lock file', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const held = await (await agents.process()).lock(target);
      await utimes(path.join(directory, '.data.lock'), 0, 0);
      await contend(target);
      const granted = await mustBlock(lock(target), 'a lock whose file is as old as 1970');
      await held.release();
      const next = await granted();
      expect(next.previousHolder).toBeNull();
      await next.release();
    }),
  ));

test('a holder whose event loop is blocked keeps its lock', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const holder = await agents.process();
      const held = await holder.lock(target);
      const blocked = holder.block(1500);
      await contend(target);
      const granted = await mustBlock(lock(target), 'a lock whose holder is busy');
      await blocked;
      await held.verify();
      await held.release();
      await (await granted()).release();
    }),
  ));
