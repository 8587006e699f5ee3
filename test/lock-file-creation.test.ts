import { existsSync } from 'node:fs';
import path from 'node:path';

import { tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { until } from './helpers/process-figures.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { withoutUnnamedFiles } from './helpers/unnamed-files.js';

test.runIf(has('withoutUnnamedFiles', 'strace'))(
  'a lock file that somebody has just made, under another name first, is free until he takes the lock',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'target');
        const maker = await agents.process(withoutUnnamedFiles());
        const { value } = await withFaults(
          agents.children,
          maker.pid,
          ['renameat2:delay_exit=1000000'],
          async () => {
            const made = maker.tryLock(target);
            await until(() => existsSync(path.join(directory, '.target.lock')), 'the lock file');
            const ours = await tryLock(target);
            expect(ours).not.toBeNull();
            const theirs = await made;
            await ours?.release();
            return theirs;
          },
        );
        expect(value).toBeNull();
        expect(await maker.tryLock(target)).not.toBeNull();
      }),
    );
  },
);
