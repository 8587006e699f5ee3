import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { SessionLock } from 'holdfast';
import type { SessionLockReason } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { AgentError } from '../test/helpers/agent-lock.js';
import { has } from '../test/helpers/capabilities.js';
import { newContents, oldContents } from '../test/helpers/failing-replaces.js';
import { withLockAgents } from '../test/helpers/lock-agents.js';
import type { ProcessAgent } from '../test/helpers/lock-agents.js';
import { makeFile } from '../test/helpers/replaced-file.js';
import { fieldsOfAge, hour, sessionFields, sessionFileOf } from '../test/helpers/session-file.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import { expectCode, expectFree, tryEveryCall } from './every-call.js';
import type { Tried } from './every-call.js';
import { share, timeLimit } from './plan.js';

/** What is done while a system call fails; one that changes the file makes `newContents` of `oldContents`. */
const operations: Record<string, (agent: ProcessAgent, target: string) => Promise<unknown>> = {
  lock: async (agent, target) => (await agent.lock(target)).release(),
  lockSync: async (agent, target) => (await agent.lockSync(target)).releaseSync(),
  'lock, ttl': async (agent, target) => (await agent.lock(target, { ttl: 60_000 })).release(),
  'lock, shared': async (agent, target) => (await agent.lock(target, { shared: true })).release(),
  inspectLock: (agent, target) => agent.inspectLock(target),
  readRegularFile: (agent, target) => agent.readRegularFile(target),
  updateFile: (agent, target) => agent.updateFile(target, addition),
  updateFileSync: (agent, target) => agent.updateFileSync(target, addition),
  replaceFile: (agent, target) => agent.replaceFile(target, changed, { durability: 'full' }),
  replaceFileSync: (agent, target) => agent.replaceFileSync(target, changed),
  'replaceFile, copy': (agent, target) =>
    agent.replaceFile(target, changed, { copyFallback: 'always', durability: 'full' }),
  'replaceFileSync, copy': (agent, target) =>
    agent.replaceFileSync(target, changed, { copyFallback: 'always' }),
};
const addition = newContents;
const changed = oldContents + addition;

/** A transition of a session lock: how old the lock is before, if there is one, and how it looks before and after it. */
const transitions: Record<
  'create' | 'renew' | 'release' | 'breakStale',
  { age: number | null; before: SessionLockReason; after: SessionLockReason }
> = {
  create: { age: null, before: 'absent', after: 'own' },
  renew: { age: 0, before: 'own', after: 'own' },
  release: { age: 0, before: 'own', after: 'absent' },
  // An expired one is still its session's own.
  breakStale: { age: 2 * hour, before: 'own', after: 'absent' },
};

const each = share(0.25) / (Object.keys(operations).length + Object.keys(transitions).length);

describe.runIf(has('strace', 'straceAttach'))('a system call that fails leaves old or new', () => {
  test.each(Object.entries(operations))(
    '%s',
    (name, operation) =>
      withAgentAt((agent, target) => ({
        name,
        prepare: () => makeFile(target, oldContents, 0o604),
        run: () => operation(agent, target),
        outcome: (value, where) => outcomeAt(agent, target, value, where),
      })),
    timeLimit,
  );

  test.each(Object.entries(transitions))(
    'SessionLock, %s',
    (name, { age, before, after }) =>
      withAgentAt((agent, target) => ({
        name: `SessionLock, ${name}`,
        prepare: async () => {
          if (age === null) rmSync(target, { force: true });
          else await writeFile(target, sessionFileOf(fieldsOfAge(age, sessionFields(session))));
        },
        run: () => agent.session(name as keyof typeof transitions, target, { session }),
        outcome: async (value, where) => {
          if (value instanceof Error) expectCode(value, where);
          const { reason } = await new SessionLock(target).status({ session });
          expect(reason, where).toBe(value instanceof Error ? before : after);
          expectFree(target, where);
          return value instanceof Error ? `error, ${reason}` : `done, ${reason}`;
        },
      })),
    timeLimit,
  );
});

const session = 's-1';

/** Tries what an agent does to one file. */
async function withAgentAt(
  of: (agent: ProcessAgent, target: string) => Omit<Tried, 'pid'>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const agent = await agents.process();
      const tried = of(agent, path.join(directory, 'data'));
      await tryEveryCall(agents.children, each, { ...tried, pid: agent.pid });
    }),
  );
}

/** What the file holds after it, which has to be what the error says; and nobody has the lock. */
async function outcomeAt(
  agent: ProcessAgent,
  target: string,
  value: unknown,
  where: string,
): Promise<string> {
  const failed = value instanceof AgentError;
  const claimed = failed ? (value.targetState ?? 'old') : 'done';
  if (failed) expectCode(value, where);
  expect(claimed, where).not.toBe('unknown');
  const contents = (await agent.readRegularFile(target))?.contents.toString();
  if (claimed === 'old' || claimed === 'restored') expect(contents, where).toBe(oldContents);
  else if (claimed === 'new') expect(contents, where).toBe(changed);
  else expect([oldContents, changed], where).toContain(contents);
  expectFree(target, where);
  await (await agent.lock(target, { timeout: 10_000 })).release();
  return claimed === 'done' && contents === changed ? 'done, new' : claimed;
}
