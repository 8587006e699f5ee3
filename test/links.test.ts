import { mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { TryLockOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { expectRefusals } from './helpers/refusal.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';
import { giveTo, users } from './helpers/users.js';

/** Links by name in `directory`, and what they lead to. */
async function makeLinks(directory: string, links: Record<string, string>): Promise<void> {
  for (const [name, target] of Object.entries(links)) {
    await symlink(target, path.join(directory, name));
  }
}

/** Takes the lock in a synchronous and an asynchronous form, and hands back where the lock file was. */
async function lockPathFor(
  agent: LockAgent,
  target: string,
  options: TryLockOptions,
): Promise<string> {
  const first = await agent.lock(target, options);
  const second = await agent.tryLockSync(target, options);
  expect(second).toBeNull();
  await first.release();
  const third = await agent.lockSync(target, options);
  expect(third.token).toBe((first.token ?? NaN) + 1);
  await third.release();
  return realpath(first.lockPath);
}

describe.each(users)('as $name', ({ identity }) => {
  const inDirectory = async (
    use: (directory: string, agent: ProcessAgent) => Promise<void>,
    prefix?: string[],
  ): Promise<void> => {
    await withTemporaryDirectory(
      async (directory) =>
        withLockAgents(async (agents) => {
          await mkdir(path.join(directory, 'real'));
          await writeFile(path.join(directory, 'real', 'data'), 'precious');
          await giveTo(identity, directory);
          await use(directory, await agents.process({ ...identity, ...(prefix && { prefix }) }));
        }),
      identity && { owner: identity },
    );
  };

  test.runIf(has('symlinks'))(
    'a target that is a link is refused by default, wherever its lock file is',
    async () => {
      await inDirectory(async (directory, agent) => {
        await makeLinks(directory, {
          link: 'real/data',
          dangling: 'real/absent',
          loop: 'loop',
          'link-to-directory': 'real',
        });
        await giveTo(identity, directory);
        const untouched = await watchUntouched(directory);
        for (const name of ['link', 'dangling', 'loop', 'link-to-directory']) {
          const target = path.join(directory, name);
          const lockPath = path.join(directory, 'lock');
          await expectRefusals(agent, target, {}, { code: 'ELOOP', path: target });
          await expectRefusals(agent, target, { lockPath }, { code: 'ELOOP', path: target });
        }
        await untouched();
      });
    },
  );

  test.runIf(has('symlinks'))(
    "with links: 'follow' the lock is that of the file which the link leads to",
    async () => {
      await inDirectory(async (directory, agent) => {
        await makeLinks(directory, {
          relative: 'real/data',
          absolute: path.join(directory, 'real', 'data'),
          chain: 'absolute',
          'chain-through-directory': 'directory/data',
          directory: 'real',
        });
        const lockPath = path.join(directory, 'real', '.data.lock');
        const follow = { links: 'follow' } as const;
        for (const name of ['relative', 'absolute', 'chain', 'chain-through-directory']) {
          const target = path.join(directory, name);
          expect(await lockPathFor(agent, target, follow), name).toBe(lockPath);

          const held = await agent.lock(path.join(directory, 'real', 'data'));
          expect(await agent.tryLock(target, follow), name).toBeNull();
          await held.release();
        }
        expect(await readdir(path.join(directory, 'real'))).toEqual(['.data.lock', 'data']);
        expect((await readdir(directory)).filter((name) => name.includes('.lock'))).toEqual([]);
      });
    },
  );

  test.runIf(has('symlinks'))(
    "with links: 'follow' a dangling link locks what it would lead to",
    async () => {
      await inDirectory(async (directory, agent) => {
        await makeLinks(directory, { dangling: 'real/absent', 'no-directory': 'absent/data' });
        const follow = { links: 'follow' } as const;
        expect(await lockPathFor(agent, path.join(directory, 'dangling'), follow)).toBe(
          path.join(directory, 'real', '.absent.lock'),
        );
        await expect(
          agent.lock(path.join(directory, 'no-directory'), follow),
        ).rejects.toMatchObject({
          name: 'Error',
          code: 'ENOENT',
          path: path.join(directory, 'absent'),
        });
      });
    },
  );

  test.runIf(has('symlinks'))(
    "with links: 'follow' links that lead nowhere are refused",
    async () => {
      await inDirectory(async (directory, agent) => {
        await makeLinks(directory, {
          loop: 'loop',
          ping: 'pong',
          pong: 'ping',
          // Nothing that a lock file could be named after.
          nameless: 'real/..',
        });
        await giveTo(identity, directory);
        const untouched = await watchUntouched(directory);
        for (const name of ['loop', 'ping', 'nameless']) {
          const target = path.join(directory, name);
          for (const form of ['lock', 'lockSync', 'tryLock', 'tryLockSync'] as const) {
            await expect(agent[form](target, { links: 'follow' }), name).rejects.toMatchObject({
              code: 'ELOOP',
              refused: true,
            });
          }
        }
        await untouched();
      });
    },
  );

  // The second way is that of kernels before Linux 5.6.
  const ways: [name: string, prefix: string[], possible: boolean][] = [
    ['', [], true],
    [
      ' without openat2()',
      ['strace', '-f', '-o', '/dev/null', '-e', 'inject=openat2:error=ENOSYS'],
      has('strace'),
    ],
  ];
  for (const [way, prefix, possible] of ways) {
    test.runIf(possible && has('symlinks'))(
      `a link among the directories is followed unless parents: 'refuse-links'${way}`,
      async () => {
        await inDirectory(async (directory, agent) => {
          await mkdir(path.join(directory, 'real', 'below'));
          await makeLinks(directory, { directory: 'real', 'link-to-data': 'directory/data' });
          await giveTo(identity, directory);
          const refuse = { parents: 'refuse-links' } as const;
          const untouched = await watchUntouched(directory);
          const spellings = ['directory/data', 'directory/below/data', 'directory/../data'];
          for (const spelling of spellings) {
            // Not path.join, which would take "link/.." away.
            const target = `${directory}/${spelling}`;
            const parent = path.dirname(target);
            await expectRefusals(agent, target, refuse, { code: 'ELOOP', path: parent });
            const lockPath = `${parent}/lock`;
            const elsewhere = { ...refuse, lockPath };
            const innocent = path.join(directory, 'real', 'data');
            await expectRefusals(agent, innocent, elsewhere, { code: 'ELOOP', path: parent });
          }
          // The way to the target counts, too, when its lock file is elsewhere.
          const innocentLock = { ...refuse, lockPath: path.join(directory, 'lock') };
          await expectRefusals(agent, `${directory}/directory/data`, innocentLock, {
            code: 'ELOOP',
            path: path.join(directory, 'directory'),
          });
          // So does the way that a link to follow leads.
          await expectRefusals(
            agent,
            path.join(directory, 'link-to-data'),
            { ...refuse, links: 'follow' },
            { code: 'ELOOP', path: path.join(directory, 'directory') },
          );
          await untouched();

          const real = path.join(directory, 'real', '.data.lock');
          expect(await lockPathFor(agent, `${directory}/directory/data`, {})).toBe(real);
          expect(await lockPathFor(agent, `${directory}/real/data`, refuse)).toBe(real);
          const upAgain = `${directory}/real/below/../data`;
          expect(
            await lockPathFor(agent, upAgain, {
              ...refuse,
              lockPath: `${path.dirname(upAgain)}/lock`,
            }),
          ).toBe(path.join(directory, 'real', 'lock'));
        }, prefix);
      },
    );
  }
});
