import { chmod, link, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { FailOpenReason } from 'holdfast';
import { describe, expect, test } from 'vitest';

import type { AgentLock } from './helpers/agent-lock.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { readJournal } from './helpers/journal.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { freeBytes, whileReadOnly, withSmallTmpfs } from './helpers/mounts.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { descriptorCount } from './helpers/process-figures.js';
import { allForms } from './helpers/refusal.js';
import { limitAtScale, printFigure } from './helpers/scale.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { giveTo } from './helpers/users.js';

const waitingForms = ['lock', 'lockSync', 'withLock', 'withLockSync'] as const;
const updateForms = ['updateFile', 'updateFileSync'] as const;

interface Place {
  agent: ProcessAgent;
  agents: LockAgents;
  /** Where the locks are. */
  directory: string;
  journal: string;
}

/** Hands `use` an agent that keeps a journal, which lies in a directory, and on a file system, of its own. */
async function withJournal(
  use: (place: Place) => Promise<void>,
  identity?: { uid: number; gid: number },
): Promise<void> {
  await withTemporaryDirectory(
    async (root) =>
      withLockAgents(async (agents) => {
        const directory = path.join(root, 'data');
        const journal = path.join(root, 'journal');
        await mkdir(directory);
        await giveTo(identity, root);
        const agent = await agents.process(identity);
        await agent.openJournal(journal, { events: ['lock_fail_open'] });
        await use({ agent, agents, directory, journal });
      }),
    identity && { owner: identity },
  );
}

interface Failure {
  reason: FailOpenReason;
  code: string;
  /** Whether it is an error of the system. */
  system: boolean;
}

/** Takes the lock in each form, which goes on without it, and expects one event and one line for each. */
async function expectFailOpen(
  { agent, journal }: Place,
  target: string,
  { reason, code, system }: Failure,
  forms: readonly (typeof allForms)[number][],
  timeout?: number,
): Promise<void> {
  const before = (await agent.events('lock_fail_open')).length;
  for (const form of forms) {
    const waits = timeout !== undefined && !form.startsWith('try');
    const options = { failOpen: true, ...(waits ? { timeout } : {}) };
    const held = (await agent[form](target, options)) as AgentLock;
    expect(held, form).toMatchObject({ held: false, failedOpen: true, lost: false, token: null });
    await expect(held.verify(), form).rejects.toMatchObject({ code: 'ECOMPROMISED' });
    expect(await held.release(), form).toMatchObject({ held: false, failedOpen: true });
  }
  const events = (await agent.events('lock_fail_open')).slice(before).map(({ data }) => data);
  const lockPath = path.join(path.dirname(target), `.${path.basename(target)}.lock`);
  const expected = {
    ...{ target, lockPath, reason, code },
    ...(system
      ? { errno: expect.any(Number) as number, syscall: expect.any(String) as string }
      : {}),
  };
  expect(events).toEqual(forms.map(() => expected));
  const lines = (await readJournal(journal)).slice(before);
  const pid = agent.pid;
  const time = expect.any(String) as string;
  const host = expect.any(String) as string;
  expect(lines).toEqual(
    events.map((event) => ({ event: 'lock_fail_open', time, pid, host, ...event })),
  );
  printFigure(`${reason}, ${code}: ${events.length} events, ${lines.length} lines`);
}

describe('a caller who asked for it goes on without the lock, and that is told each time', () => {
  test('timeout', async () => {
    await withJournal(async (place) => {
      const target = path.join(place.directory, 'data');
      const holder = await place.agents.process();
      const held = await holder.lock(target);
      const failure = { reason: 'timeout', code: 'ETIMEDOUT', system: false } as const;
      for (const timeout of [0, 30]) {
        await expectFailOpen(place, target, failure, waitingForms, timeout);
      }
      // Somebody else's lock is an answer, and no failure.
      expect(await place.agent.tryLock(target, { failOpen: true })).toBeNull();
      expect(await place.agent.tryLockSync(target, { failOpen: true })).toBeNull();
      expect(await place.agent.events('lock_fail_open')).toHaveLength(2 * waitingForms.length);
      await held.release();
      const ours = await place.agent.lock(target, { failOpen: true, timeout: 10_000 });
      expect(ours).toMatchObject({ held: true, failedOpen: false });
    });
  });

  test.runIf(has('mountTmpfs'))('a full disk', async () => {
    await withSmallTmpfs(async (root) =>
      withJournal(async (place) => {
        const target = path.join(root, 'data');
        await writeFile(path.join(root, 'filler'), Buffer.alloc(await freeBytes(root)));
        const failure = { reason: 'disk', code: 'ENOSPC', system: true } as const;
        await expectFailOpen(place, target, failure, allForms);
      }),
    );
  });

  test.runIf(has('mountTmpfs'))(
    'a read-only file system, with a lock file and without',
    async () => {
      await withSmallTmpfs(async (root) =>
        withJournal(async (place) => {
          const there = path.join(root, 'there');
          await (await place.agent.lock(there)).release();
          await whileReadOnly(root, async () => {
            const failure = { reason: 'disk', code: 'EROFS', system: true } as const;
            await expectFailOpen(place, there, failure, allForms);
            await expectFailOpen(place, path.join(root, 'absent'), failure, allForms);
          });
        }),
      );
    },
  );

  test.runIf(has('modes') && (has('ordinaryUser') || process.getuid?.() !== 0))(
    'a lock file that may not be made',
    async () => {
      await withJournal(
        async (place) => {
          await chmod(place.directory, 0o555);
          const target = path.join(place.directory, 'data');
          const failure = { reason: 'disk', code: 'EACCES', system: true } as const;
          await expectFailOpen(place, target, failure, allForms);
        },
        has('ordinaryUser') ? ordinaryUser : undefined,
      );
    },
  );

  test.runIf(has('prlimit', 'proc'))('no descriptors left', async () => {
    await withJournal(async (place) => {
      const target = path.join(place.directory, 'data');
      await (await place.agent.lock(target)).release();
      const limit = descriptorCount(place.agent.pid) - 3;
      await run('prlimit', ['--pid', `${place.agent.pid}`, `--nofile=${limit}:`]);
      const failure = { reason: 'disk', code: 'EMFILE', system: true } as const;
      await expectFailOpen(place, target, failure, allForms);
      await run('prlimit', ['--pid', `${place.agent.pid}`, '--nofile=1024:']);
    });
  });

  test.runIf(has('strace')).each([
    ['pwrite64:error=EIO', 'disk', 'EIO'],
    ['pwrite64:error=EDQUOT', 'disk', 'EDQUOT'],
    ['flock:error=EIO', 'disk', 'EIO'],
    ['flock:error=ENOLCK', 'unsupported', 'ENOLCK'],
    ['flock:error=ENOSYS', 'unsupported', 'ENOSYS'],
    ['flock:error=EOPNOTSUPP', 'unsupported', 'ENOTSUP'],
  ] as const)('%s', async (fault, reason, code) => {
    await withJournal(async (place) => {
      const target = path.join(place.directory, 'data');
      // The first touch of a directory is made in another thread, and is not what is to fail.
      await (await place.agent.lock(path.join(place.directory, 'other'))).release();
      await withFaults(place.agents.children, place.agent.pid, [fault], async () =>
        expectFailOpen(place, target, { reason, code, system: true }, allForms),
      );
    });
  });
});

describe('an update', () => {
  test('whose lock is held for ever goes on at its timeout, and is told for each call', async () => {
    await withJournal(async ({ agent, agents, directory, journal }) => {
      const target = path.join(directory, 'data');
      const holder = await agents.process();
      const held = await holder.lock(target);
      const options = { failOpen: true, timeout: 50 };
      const together = Array.from({ length: 20 }, (_, at) =>
        agent.updateFile(target, `a${at}\n`, options),
      );
      await Promise.all(together);
      for (const timeout of [0, 20]) {
        await agent.updateFileSync(target, `b${timeout}\n`, { failOpen: true, timeout });
      }
      const contents = await agent.readRegularFile(target);
      const lines = Buffer.from(contents?.contents ?? '')
        .toString()
        .split('\n')
        .slice(0, -1);
      expect(lines.slice(0, 20).sort()).toEqual(together.map((_, at) => `a${at}`).sort());
      expect(lines.slice(20)).toEqual(['b0', 'b20']);
      expect(await agent.events('lock_fail_open')).toHaveLength(22);
      expect(await readJournal(journal)).toHaveLength(22);
      await held.release();
    });
  });

  test('that waits is not held up by one whose function takes its time', async () => {
    await withJournal(async ({ agent, directory }) => {
      const target = path.join(directory, 'data');
      const order = await agent.call<string[]>('slowUpdateBesideFailOpen', target);
      expect(order).toEqual(['quick', 'slow']);
      const contents = await agent.readRegularFile(target);
      expect(Buffer.from(contents?.contents ?? '').toString()).toBe('quick\nslow\n');
    });
  });

  test.runIf(has('strace')).each(updateForms)(
    'on a file system without locks: %s',
    async (form) => {
      await withJournal(async ({ agent, agents, directory, journal }) => {
        const target = path.join(directory, 'data');
        await (await agent.lock(path.join(directory, 'other'))).release();
        await withFaults(agents.children, agent.pid, ['flock:error=ENOSYS'], async () => {
          for (let at = 0; at < 3; at++) await agent[form](target, `${at}\n`, { failOpen: true });
        });
        const contents = await agent.readRegularFile(target);
        expect(Buffer.from(contents?.contents ?? '').toString()).toBe('0\n1\n2\n');
        const events = await agent.events('lock_fail_open');
        expect(events.map(({ data }) => data.reason)).toEqual(Array(3).fill('unsupported'));
        expect(await readJournal(journal)).toHaveLength(3);
      });
    },
  );
});

describe(
  'no fail-open, no event and no line',
  () => {
    const refusals: [name: string, code: string, plant: (lockFile: string) => Promise<unknown>][] =
      [
        ['a directory in the lock file’s place', 'EINVAL', (lockFile) => mkdir(lockFile)],
        ['somebody’s data there', 'ECORRUPT', (lockFile) => writeFile(lockFile, 'precious')],
        [
          'a hard link there',
          'EMLINK',
          async (lockFile) => {
            await writeFile(`${lockFile}-victim`, '');
            await link(`${lockFile}-victim`, lockFile);
          },
        ],
      ];
    test.each(refusals)('on %s', async (_name, code, plant) => {
      await withJournal(async ({ agent, directory, journal }) => {
        await plant(path.join(directory, '.data.lock'));
        for (const form of allForms) {
          const taking = agent[form](path.join(directory, 'data'), { failOpen: true });
          await expect(taking, form).rejects.toMatchObject({ code, refused: true });
        }
        for (const form of updateForms) {
          const update = agent[form](path.join(directory, 'data'), '', { failOpen: true });
          await expect(update, form).rejects.toMatchObject({ code, refused: true });
        }
        expect(await agent.events('lock_fail_open')).toEqual([]);
        expect(await readJournal(journal)).toEqual([]);
      });
    });

    test.runIf(has('modes') && (has('ordinaryUser') || process.getuid?.() !== 0))(
      'on a lock file that exists and may not be opened',
      async () => {
        await withJournal(
          async ({ agent, directory, journal }) => {
            const target = path.join(directory, 'data');
            const { lockPath } = await agent.lockSync(target);
            for (const mode of [0o000, 0o444]) {
              await chmod(lockPath, mode);
              for (const form of allForms) {
                await expect(agent[form](target, { failOpen: true }), form).rejects.toMatchObject({
                  ...{ code: 'EACCES', refused: true, path: lockPath },
                });
              }
            }
            expect(await agent.events('lock_fail_open')).toEqual([]);
            expect(await readJournal(journal)).toEqual([]);
          },
          has('ordinaryUser') ? ordinaryUser : undefined,
        );
      },
    );

    test('on an abort, a wrong path, a wait for oneself, or an error of the caller’s own', async () => {
      await withJournal(async ({ agent, directory, journal }) => {
        const target = path.join(directory, 'data');
        const missing = path.join(directory, 'missing', 'data');
        for (const form of allForms) {
          await expect(agent[form](missing, { failOpen: true }), form).rejects.toMatchObject({
            code: 'ENOENT',
          });
        }
        expect(await agent.call('failOpenMistakes', target)).toEqual([
          'aborted',
          'aborted while it waits',
          'EDEADLK',
          'ENOSPC of onWait',
        ]);
        expect(await agent.events('lock_fail_open')).toEqual([]);
        expect(await readJournal(journal)).toEqual([]);
      });
    });
  },
  limitAtScale(30_000),
);
