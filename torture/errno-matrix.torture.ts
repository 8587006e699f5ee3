import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { SessionLock, tryLockSync } from 'holdfast';
import type { SessionLockReason } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from '../test/helpers/capabilities.js';
import { newContents, oldContents, outcomeOf } from '../test/helpers/failing-replaces.js';
import { AgentError, withLockAgents } from '../test/helpers/lock-agent.js';
import type { ProcessAgent } from '../test/helpers/lock-agent.js';
import { makeFile } from '../test/helpers/replaced-file.js';
import { fieldsOfAge, hour, sessionFields, sessionFileOf } from '../test/helpers/session-file.js';
import { withFaults, withSteadyCalls } from '../test/helpers/system-call-faults.js';
import type { SystemCall } from '../test/helpers/system-call-faults.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import { report } from './campaign.js';
import { seed, share, timeLimit } from './plan.js';
import { randomFrom } from './random.mjs';

const errnos = ['EIO', 'ENOSPC', 'EACCES', 'EMFILE', 'ENOMEM', 'EINTR', 'ENOLCK', 'EROFS'];

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

const each = share(0.3) / (Object.keys(operations).length + Object.keys(transitions).length);

describe.runIf(has('strace', 'straceAttach'))('a system call that fails leaves old or new', () => {
  test.each(Object.entries(operations))(
    '%s',
    (name, operation) =>
      tryEveryCall(name, (agent, target) => ({
        prepare: () => makeFile(target, oldContents, 0o604),
        run: () => operation(agent, target),
        outcome: (value, where) => outcomeAt(agent, target, value, where),
      })),
    timeLimit,
  );

  test.each(Object.entries(transitions))(
    'SessionLock, %s',
    (name, { age, before, after }) =>
      tryEveryCall(`SessionLock, ${name}`, (agent, target) => ({
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

interface Tried {
  /** Comes before each attempt. */
  prepare: () => Promise<unknown>;
  run: () => Promise<unknown>;
  /** Looks at what an attempt has left, and names it. */
  outcome: (value: unknown, where: string) => Promise<string>;
}

/** Lets each system call that an attempt makes fail in turn, with one errno after the other, as long as there is time. */
async function tryEveryCall(
  name: string,
  of: (agent: ProcessAgent, target: string) => Tried,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const matrix = new Matrix(name);
      const agent = await agents.process();
      const { prepare, run, outcome } = of(agent, target);
      const attempt = async (faults: string[]) => {
        await prepare();
        return withFaults(agents.children, agent.pid, faults, () => outcomeOf(run()));
      };
      // The first use of a directory makes other calls.
      await prepare();
      await run();
      const { calls } = await withSteadyCalls(() => attempt([]));
      const random = randomFrom(seed);
      const end = performance.now() + each;
      const points = shuffled(calls, random);
      const kinds = shuffled(errnos, random);
      for (let round = 0; round < errnos.length && performance.now() < end; round++) {
        for (const [index, call] of points.entries()) {
          if (performance.now() >= end) break;
          const errno = kinds[(index + round) % kinds.length] ?? 'EIO';
          const fault = `${call.name}:error=${errno}:when=${call.occurrence}`;
          const result = await attempt([fault]).catch((error: unknown) => {
            // Now and then the engine makes a call of its own before, and this one is not reached.
            if (/None of the faults/.test(String(error))) return null;
            throw error;
          });
          if (result === null) continue;
          matrix.add(call, await outcome(result.value, `${errno} at ${call.line}`));
        }
      }
      matrix.report(calls);
    }),
  );
}

function expectCode(error: AgentError | Error, where: string): void {
  expect(error, `${where}: ${error.message}`).toMatchObject({
    code: expect.stringMatching(/^E[A-Z]+$/) as unknown,
  });
}

function expectFree(target: string, where: string): void {
  const free = tryLockSync(target);
  expect(free, `${where}: the lock is free`).not.toBeNull();
  free?.releaseSync();
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

function shuffled<T>(items: readonly T[], random: (limit: number) => number): T[] {
  return items
    .map((item) => ({ item, place: random(2 ** 31) }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item);
}

/** What came of each system call. */
class Matrix {
  readonly #outcomes = new Map<string, Map<string, number>>();

  constructor(private readonly operation: string) {}

  add({ name }: SystemCall, outcome: string): void {
    const counts = this.#outcomes.get(name) ?? new Map<string, number>();
    this.#outcomes.set(name, counts);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }

  report(calls: readonly SystemCall[]): void {
    for (const [call, counts] of [...this.#outcomes].sort(([one], [other]) =>
      one < other ? -1 : 1,
    )) {
      report('system call that fails', {
        operation: this.operation,
        call,
        occurrences: calls.filter(({ name }) => name === call).length,
        tried: [...counts.values()].reduce((sum, count) => sum + count, 0),
        outcomes: [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', '),
      });
    }
  }
}
