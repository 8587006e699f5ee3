import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { AgentLock } from '../test/helpers/agent-lock.js';
import { has } from '../test/helpers/capabilities.js';
import { withChildren } from '../test/helpers/child.js';
import { failingLockfile } from '../test/helpers/failing-lockfile-calls.js';
import { outcomeOf } from '../test/helpers/failing-replaces.js';
import { hang } from '../test/helpers/hung-holder.js';
import { withLockAgents } from '../test/helpers/lock-agents.js';
import type { ProcessAgent } from '../test/helpers/lock-agents.js';
import { withLockfileAgents } from '../test/helpers/lockfile-agent.js';
import { kernelWaiters, until } from '../test/helpers/process-figures.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import { expectCode, expectFree, tryEveryCall } from './every-call.js';
import { share, timeLimit } from './plan.js';

const each = share(0.05) / 6;
/** Milliseconds that a wait under strace may take until the kernel knows of it. */
const longestToBegin = 300;

describe.runIf(has('strace', 'straceAttach', 'signals'))('a system call that fails in', () => {
  test.each(['lock', 'lockSync', 'updateFile'] as const)(
    'a wait leaves the lock to nobody: %s',
    async (name) => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'data');
          const [agent, holder] = [await agents.process(), await agents.process()];
          let held: AgentLock;
          const wait = async () => {
            if (name === 'updateFile') await agent.updateFile(target, 'more', { timeout: 10_000 });
            else await (await agent[name](target, { timeout: 10_000 })).release();
          };
          await tryEveryCall(agents.children, each, {
            name: `${name}, after a wait`,
            pid: agent.pid,
            prepare: async () => {
              held = await holder.lock(target);
            },
            run: async () => {
              let settled = false;
              const waiting = outcomeOf(wait()).finally(() => (settled = true));
              const begin = performance.now();
              // Where it fails before, or has to look again and again, the kernel knows of no waiter.
              await until(
                () =>
                  settled ||
                  kernelWaiters(held.lockPath) > 0 ||
                  performance.now() - begin > longestToBegin,
                'the wait to begin',
              );
              await held.release();
              const value = await waiting;
              if (value instanceof Error) throw value;
            },
            outcome: async (value, where) => {
              if (value instanceof Error) expectCode(value, where);
              expectFree(target, where);
              await (await holder.lock(target, { timeout: 10_000 })).release();
              return value instanceof Error ? 'error' : 'done';
            },
          });
        }),
      );
    },
    timeLimit,
  );

  test(
    'a take-over leaves the lock to the holder before or to the next one, and never to both',
    async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'data');
          const taker = await agents.process();
          let holder: ProcessAgent;
          let held: AgentLock;
          let resume: () => void;
          await tryEveryCall(agents.children, each, {
            name: 'lock, take-over',
            pid: taker.pid,
            prepare: async () => {
              holder = await agents.process();
              held = await holder.lock(target, { ttl: 200 });
              resume = await hang(holder, directory);
            },
            run: () => taker.lock(target, { ttl: 60_000, timeout: 10_000 }),
            outcome: async (value, where) => {
              if (value instanceof AgentLock) {
                await value.verify();
                resume();
                expect(await held.loss(), where).toMatchObject({ code: 'ECOMPROMISED' });
                await value.release();
              } else {
                expectCode(value as Error, where);
                resume();
              }
              const lost = await outcomeOf(held.verify());
              if (lost instanceof Error)
                expect(lost, where).toMatchObject({ code: 'ECOMPROMISED' });
              else await held.release();
              expectFree(target, where);
              await holder.exit();
              await holder.waitForExit();
              return `${value instanceof Error ? 'error' : 'done'}, ${lost instanceof Error ? 'taken over' : 'kept'}`;
            },
          });
        }),
      );
    },
    timeLimit,
  );

  test(
    'a journal loses no line that it does not count, and leaves no half of one',
    async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const agent = await agents.process();
          const file = path.join(directory, 'journal');
          const published = async () => (await agent.events('released')).length;
          let before = 0;
          await tryEveryCall(agents.children, each, {
            name: 'journal, three lines',
            pid: agent.pid,
            prepare: async () => {
              rmSync(file, { force: true });
              before = await published();
            },
            run: async () => {
              await agent.openJournal(file, { events: ['released'] });
              for (let count = 0; count < 3; count++) {
                const held = await outcomeOf(agent.lock(path.join(directory, 'data')));
                if (held instanceof AgentLock) await outcomeOf(held.release());
              }
              return agent.closeJournal();
            },
            outcome: async (value, where) => {
              if (value instanceof Error) {
                expectCode(value, where);
                return 'error';
              }
              const lines = readFileSync(file, 'utf8').split('\n');
              expect(lines.pop(), where).toBe('');
              const events = lines.map((line) => (JSON.parse(line) as { event: string }).event);
              const kept = events.filter((event) => event === 'released').length;
              expect(kept + Number(value), where).toBe((await published()) - before);
              return `${kept} lines, ${String(value)} lost`;
            },
          });
        }),
      );
    },
    timeLimit,
  );

  test.runIf(has('birthTimes'))(
    'the drop-in keeps nobody out, but those who go by the directory alone if that cannot be removed',
    async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockfileAgents(async (start) =>
          withChildren(async (children) => {
            await tryEveryCall(children, each, {
              name: 'drop-in, lock and release',
              prepare: () => Promise.resolve(),
              ...(await failingLockfile(start, path.join(directory, 'data'))),
            });
          }),
        ),
      );
    },
    timeLimit,
  );
});
