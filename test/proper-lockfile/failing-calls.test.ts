import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withChildren } from '../helpers/child.js';
import { failingLockfile } from '../helpers/failing-lockfile-calls.js';
import { outcomeOf } from '../helpers/failing-replaces.js';
import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import { FaultNotReached, withFaults } from '../helpers/system-call-faults.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

describe.runIf(has('strace', 'straceAttach', 'birthTimes'))('a system call that fails', () => {
  test('once the directory is made keeps nobody out', async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockfileAgents(async (start) =>
        withChildren(async (children) => {
          const { pid, run, outcome } = await failingLockfile(start, path.join(directory, 'data'));
          const attempt = (faults: string[]) =>
            withFaults(children, pid, faults, () => outcomeOf(run()));
          await attempt([]);
          const { calls } = await attempt([]);
          const made = calls.findIndex(({ name }) => name.startsWith('mkdir'));
          expect(made).toBeGreaterThan(-1);
          const outcomes = [];
          for (const { name, occurrence, line } of calls.slice(made + 1)) {
            const result = await attempt([`${name}:error=EIO:when=${occurrence}`]).catch(
              (error: unknown) => {
                // Now and then the engine makes a call of its own before.
                if (error instanceof FaultNotReached) return error;
                throw error;
              },
            );
            outcomes.push(await outcome(result.value, line));
          }
          expect(outcomes).toContain('error in lock');
          expect(outcomes).toContain('error in release');
        }),
      ),
    );
  });
});
