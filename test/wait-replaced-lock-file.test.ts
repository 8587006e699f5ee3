import { unlinkSync } from 'node:fs';
import path from 'node:path';

import { tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { kernelWaiters, until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** More often than one try for a lock finds another lock file each time before it gives up. */
const times = 110;

test.runIf(has('proc', 'kernelLockWaits', 'unlinkOpenFiles')).each(['lock', 'lockSync'] as const)(
  'a wait by %s outlasts any number of lock files, each of which somebody else has locked',
  { timeout: 60_000 },
  async (form) => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const waiter = await agents.process();
        let held = tryLockSync(target);
        const waiting = await mustBlock(waiter[form](target), 'a second lock');
        for (let time = 0; time < times; time++) {
          const lockPath = String(held?.lockPath);
          await until(() => kernelWaiters(lockPath) === 1, 'the waiter');
          unlinkSync(lockPath);
          const next = tryLockSync(target);
          expect(next).not.toBeNull();
          // What the waiter is granted now is no lock any more.
          held?.releaseSync();
          held = next;
        }
        held?.releaseSync();
        await (await waiting()).releaseSync();
      }),
    );
  },
);
