import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { newContents, oldContents, outcomeOf, withAgent } from './helpers/failing-replaces.js';
import { until } from './helpers/process-figures.js';
import { expectFile, makeFile } from './helpers/replaced-file.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

describe.runIf(has('strace', 'straceAttach'))(
  'an update whose lock cannot be cleared at the end',
  () => {
    test.each(['updateFile', 'updateFileSync'] as const)(
      'is made, and its caller is told so: %s',
      async (form) => {
        await withTemporaryDirectory(async (directory) =>
          withAgent(async (agent, agents) => {
            const target = path.join(directory, 'data');
            const attempt = async (faults: string[]) => {
              await makeFile(target, oldContents);
              return withFaults(agents.children, agent.pid, faults, () =>
                outcomeOf(agent[form](target, newContents)),
              );
            };
            await attempt([]);
            const { calls } = await withSteadyCalls(() => attempt([]));
            // The record of the lock is the last thing that is written.
            const release = calls.findLast(({ name }) => name === 'pwrite64');
            expect(release?.line).toContain('holdfast lock 1');
            const fault = `pwrite64:error=EIO:when=${String(release?.occurrence)}`;
            const { value } = await attempt([fault]);
            expect(value).not.toBeInstanceOf(Error);
            await expectFile(target, { contents: oldContents + newContents, mode: 0o640 });
            await until(
              () => /EIO: i\/o error, write/.test(agent.child.stderr),
              () => `a warning: ${agent.child.stderr}`,
            );
            await agent.updateFile(target, newContents, { timeout: 10_000 });
          }),
        );
      },
    );
  },
);
