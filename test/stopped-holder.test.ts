import path from 'node:path';

import { lock, tryLock, tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test.runIf(has('signals'))(
  'nobody gets the lock of a holder that is stopped, and it goes on where it was',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const holder = await agents.process();
        const held = await holder.lock(target);
        holder.kill('SIGSTOP');

        expect(await tryLock(target)).toBeNull();
        expect(tryLockSync(target, { shared: true })).toBeNull();
        const granted = await mustBlock(lock(target), 'the lock of a stopped holder');
        // Longer than the waiters' own look at the lock file, once a second, takes.
        await expect(lock(target, { timeout: 1500 })).rejects.toMatchObject({
          code: 'ETIMEDOUT',
          holder: { pid: holder.pid, self: false },
        });
        const other = await agents.process();
        await expect(other.lockSync(target, { timeout: 50 })).rejects.toMatchObject({
          code: 'ETIMEDOUT',
        });

        holder.kill('SIGCONT');
        await held.verify();
        expect(await tryLock(target)).toBeNull();
        expect(await held.release()).toMatchObject({ held: false, lost: false });
        const next = await granted();
        expect(next.previousHolder).toBeNull();
        await next.release();
      }),
    );
  },
);

test.runIf(has('signals'))(
  'a process that is stopped while it waits is granted the lock only when it goes on',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const held = await lock(target);
        const waiter = await agents.process();
        const granted = await mustBlock(waiter.lock(target), 'a second lock');
        waiter.kill('SIGSTOP');
        await held.release();
        const stillBlocked = await mustBlock(granted(), 'the wait of a stopped process');
        waiter.kill('SIGCONT');
        await (await stillBlocked()).release();
        await (await lock(target)).release();
      }),
    );
  },
);
