import path from 'node:path';

import { tryLockSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from '../test/helpers/capabilities.js';
import { newContents, oldContents, outcomeOf } from '../test/helpers/failing-replaces.js';
import { AgentError, withLockAgents } from '../test/helpers/lock-agent.js';
import type { LockAgents, ProcessAgent } from '../test/helpers/lock-agent.js';
import { makeFile } from '../test/helpers/replaced-file.js';
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

const each = share(0.3) / Object.keys(operations).length;

describe.runIf(has('strace', 'straceAttach'))('a system call that fails leaves old or new', () => {
  test.each(Object.entries(operations))(
    '%s',
    async (name, operation) => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'data');
          const matrix = new Matrix(name);
          const agent = await agents.process();
          // The first use of a directory makes other calls.
          await operation(agent, await makeFile(target, oldContents));
          const { calls } = await withSteadyCalls(() =>
            attempt(agents, agent, target, operation, []),
          );
          const random = randomFrom(seed);
          const end = performance.now() + each;
          const points = shuffled(calls, random);
          const kinds = shuffled(errnos, random);
          for (let round = 0; round < errnos.length && performance.now() < end; round++) {
            for (const [index, call] of points.entries()) {
              if (performance.now() >= end) break;
              const errno = kinds[(index + round) % kinds.length] ?? 'EIO';
              const fault = `${call.name}:error=${errno}:when=${call.occurrence}`;
              const attempted = attempt(agents, agent, target, operation, [fault]);
              const result = await attempted.catch((error: unknown) => {
                // Now and then the engine makes a call of its own before, and this one is not reached.
                if (/None of the faults/.test(String(error))) return null;
                throw error;
              });
              if (result === null) continue;
              const where = `${errno} at ${call.line}`;
              matrix.add(call, await outcomeAt(agent, target, result.value, where));
            }
          }
          matrix.report(calls);
        }),
      );
    },
    timeLimit,
  );
});

async function attempt(
  agents: LockAgents,
  agent: ProcessAgent,
  target: string,
  operation: (agent: ProcessAgent, target: string) => Promise<unknown>,
  faults: string[],
): Promise<{ value: unknown; calls: SystemCall[] }> {
  await makeFile(target, oldContents, 0o604);
  return withFaults(agents.children, agent.pid, faults, () => outcomeOf(operation(agent, target)));
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
  if (failed) expect(value.code, `${where}: ${value.message}`).toMatch(/^E[A-Z]+$/);
  expect(claimed, where).not.toBe('unknown');
  const contents = (await agent.readRegularFile(target))?.contents.toString();
  if (claimed === 'old' || claimed === 'restored') expect(contents, where).toBe(oldContents);
  else if (claimed === 'new') expect(contents, where).toBe(changed);
  else expect([oldContents, changed], where).toContain(contents);
  const free = tryLockSync(target);
  expect(free, `${where}: the lock is free`).not.toBeNull();
  free?.releaseSync();
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
