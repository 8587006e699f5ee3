import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { Child, Children } from './helpers/child.js';
import { withChildren } from './helpers/child.js';
import { newContents, oldContents, outcomeOf, withAgent } from './helpers/failing-replaces.js';
import { JobAgent } from './helpers/job-agent.js';
import { until } from './helpers/process-figures.js';
import { expectFile, makeFile } from './helpers/replaced-file.js';
import { fieldsOfAge, hour, sessionFields, sessionFileOf, sha256 } from './helpers/session-file.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** What `attempt` comes to in `child` when the record of its lock cannot be cleared: the last thing that is written. */
async function withoutRelease<T>(
  children: Children,
  child: Child,
  attempt: () => Promise<T>,
): Promise<T> {
  const traced = (faults: string[]) => withFaults(children, child.pid, faults, attempt);
  await traced([]);
  const { calls } = await withSteadyCalls(() => traced([]));
  const release = calls.findLast(({ name }) => name === 'pwrite64');
  expect(release?.line).toContain('holdfast lock 1');
  const { value } = await traced([`pwrite64:error=EIO:when=${String(release?.occurrence)}`]);
  await until(
    () => /EIO: i\/o error, write/.test(child.stderr),
    () => `a warning: ${child.stderr}`,
  );
  return value;
}

describe.runIf(has('strace', 'straceAttach'))('when the lock cannot be cleared at the end', () => {
  test.each(['updateFile', 'updateFileSync'] as const)(
    'an update is made, and its caller is told so: %s',
    async (form) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = path.join(directory, 'data');
          const value = await withoutRelease(agents.children, agent.child, async () => {
            await makeFile(target, oldContents);
            return outcomeOf(agent[form](target, newContents));
          });
          expect(value).not.toBeInstanceOf(Error);
          await expectFile(target, { contents: oldContents + newContents, mode: 0o640 });
          await agent.updateFile(target, newContents, { timeout: 10_000 });
        }),
      );
    },
  );

  test('an update whose function throws rejects with that error', async () => {
    await withTemporaryDirectory(async (directory) =>
      withAgent(async (agent, agents) => {
        const target = path.join(directory, 'data');
        await makeFile(target, oldContents);
        const value = await withoutRelease(agents.children, agent.child, async () => {
          const outcome = await outcomeOf(agent.failUpdate(target, 'thrown by the function'));
          // A call that fails is told so while its round goes on for others; by the next answer the lock has been released.
          await agent.readRegularFile(target);
          return outcome;
        });
        expect(value).toMatchObject({ message: 'thrown by the function' });
        await expectFile(target, { contents: oldContents, mode: 0o640 });
        await agent.updateFile(target, newContents, { timeout: 10_000 });
      }),
    );
  });

  test.each(['replaceFile', 'replaceFileSync'] as const)(
    'a compare-and-swap is made, and its caller is told so: %s',
    async (form) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = path.join(directory, 'data');
          const value = await withoutRelease(agents.children, agent.child, async () => {
            await makeFile(target, oldContents);
            const ifMatch = { sha256: sha256(oldContents) };
            return outcomeOf(agent[form](target, newContents, { ifMatch }));
          });
          expect(value).not.toBeInstanceOf(Error);
          expect(readFileSync(target, 'utf8')).toBe(newContents);
        }),
      );
    },
  );

  test.each([
    { method: 'create', before: null },
    { method: 'renew', before: fieldsOfAge(0, sessionFields('s-1')) },
    { method: 'release', before: fieldsOfAge(0, sessionFields('s-1')) },
    { method: 'breakStale', before: fieldsOfAge(2 * hour, sessionFields('s-1')) },
  ] as const)(
    'a transition of a session lock is made, and its caller is told so: $method',
    async ({ method, before }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const file = path.join(directory, 'tool.lock');
          const value = await withoutRelease(agents.children, agent.child, () => {
            if (before === null) rmSync(file, { force: true });
            else writeFileSync(file, sessionFileOf(before));
            return outcomeOf(agent.session(method, file, { session: 's-1' }));
          });
          expect(value).toMatchObject({ changed: true });
          expect(existsSync(file)).toBe(method === 'create' || method === 'renew');
        }),
      );
    },
  );

  test.each([
    ['update', { status: 'running' }],
    ['appendLog', 'a line'],
  ])('a change of a job is made, and its caller is told so: %s', async (method, change) => {
    await withTemporaryDirectory(async (directory) =>
      withChildren(async (children) => {
        const agent = await JobAgent.start(children, directory);
        const { error } = await withoutRelease(children, agent.child, () =>
          agent.call(method, 'job', change),
        );
        expect(error).toBeUndefined();
        const { value } = await agent.call('read', 'job');
        expect(value).toMatchObject({ id: 'job' });
        expect((await agent.call('remove', 'job')).value).toBe(true);
      }),
    );
  });
});
