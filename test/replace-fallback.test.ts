import { chmod, link, mkdir, readdir, readFile, readlink, stat, symlink } from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile, readRegularFileSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has, ordinaryUser } from './helpers/capabilities.js';
import { AgentError } from './helpers/lock-agent.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agent.js';
import { withBindMount } from './helpers/mounts.js';
import {
  expectFile,
  leftBehind,
  makeFile,
  modeOf,
  replaceBy,
  replaceForms,
} from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { giveTo, users } from './helpers/users.js';

const oldContents = 'old bytes '.repeat(100);
const newContents = 'NEW BYTES '.repeat(200);

/** What a rename says on Windows while somebody holds the target open, and on POSIX for what is in use. */
const codes = ['EPERM', 'EEXIST', 'EBUSY', 'EACCES', 'ETXTBSY'];
const failingRename = (code: string) => `renameat,renameat2:error=${code}`;

describe.runIf(has('strace')).each(users)('a rename that fails, as $name', ({ identity }) => {
  test.each(replaceForms)('is replaced by a copy with the mode asked for: %s', async (form) => {
    await withAgentInDirectory(identity, async (directory, agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), oldContents, 0o644);
      await giveTo(identity, directory);
      const { ino } = await stat(target);
      await agent.umask(0o777);
      for (const code of codes) {
        await chmod(target, 0o644);
        const contents = `${newContents} ${code}`;
        const { value } = await withFaults(agents.children, agent.pid, [failingRename(code)], () =>
          agent[form](target, contents, { mode: 0o600 }),
        );
        expect(value, code).toMatchObject({ method: 'copy', superseded: false });
        await expectFile(target, { contents, mode: 0o600 }, code);
        expect((await stat(target)).ino).toBe(ino);
        expect((await agent.readRegularFile(target))?.identity).toBe(value.identity);
      }
    });
  });

  test("is an error under copyFallback: 'never', and for a file that does not exist yet", async () => {
    await withAgentInDirectory(identity, async (directory, agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), oldContents);
      await giveTo(identity, directory);
      for (const code of codes) {
        for (const form of replaceForms) {
          const { value } = await withFaults(
            agents.children,
            agent.pid,
            [failingRename(code)],
            async () => [
              await agent[form](target, newContents, { copyFallback: 'never' }).catch(itself),
              await agent[form](`${target}-new`, newContents).catch(itself),
            ],
          );
          for (const error of value) {
            expect(error).toBeInstanceOf(AgentError);
            expect(error).toMatchObject({
              ...{ code, syscall: 'rename', phase: 'publish' },
              ...{ published: false, targetState: 'old' },
            });
          }
          await expectFile(target, { contents: oldContents, mode: 0o640 });
          expect(await readdir(directory)).toEqual(['data']);
        }
      }
    });
  });

  test('does not lead a copy into a file with other names, or through a link', async () => {
    await withAgentInDirectory(identity, async (directory, agent, agents) => {
      const victim = await makeFile(path.join(directory, 'victim'), oldContents);
      await link(victim, path.join(directory, 'twin'));
      await symlink('victim', path.join(directory, 'link'));
      await giveTo(identity, directory);
      const { value } = await withFaults(
        agents.children,
        agent.pid,
        [failingRename('EPERM')],
        async () => {
          const outcomes: [unknown, unknown][] = [];
          for (const form of replaceForms) {
            const attempt = async (name: string, options = {}) =>
              agent[form](path.join(directory, name), newContents, options).catch(itself);
            outcomes.push(
              [await attempt('twin'), { code: 'EMLINK', refused: true }],
              [await attempt('twin', { hardLinks: 'split' }), { code: 'EPERM' }],
              [
                await attempt('twin', { hardLinks: 'split', copyFallback: 'always' }),
                { code: 'EMLINK', refused: true },
              ],
              [await attempt('link'), { code: 'ELOOP', refused: true }],
              [await attempt('link', { links: 'follow' }), { code: 'EMLINK', refused: true }],
              [await attempt('link', { links: 'replace' }), { code: 'EPERM' }],
              [
                await attempt('link', { links: 'replace', copyFallback: 'always' }),
                { code: 'ELOOP', refused: true },
              ],
            );
          }
          // For the fault itself, whatever was refused before.
          await agent.replaceFile(path.join(directory, 'new'), 'new').catch(itself);
          return outcomes;
        },
      );
      for (const [outcome, expected] of value) {
        expect(outcome).toMatchObject({ ...(expected as object), targetState: 'old' });
      }
      expect((await readdir(directory)).sort()).toEqual(['link', 'twin', 'victim']);
      expect(await readFile(victim, 'utf8')).toBe(oldContents);
      expect(await readFile(path.join(directory, 'twin'), 'utf8')).toBe(oldContents);
      expect(await readlink(path.join(directory, 'link'))).toBe('victim');
      expect((await stat(victim)).nlink).toBe(2);
    });
  });

  test('and a copy that fails half-way restore bytes and mode', async () => {
    await withAgentInDirectory(identity, async (directory, agent, agents) => {
      const target = path.join(directory, 'data');
      const faults = [
        // Beyond the old end, then from the beginning on.
        ...['pwrite64:error=ENOSPC:when=4', 'pwrite64:error=EIO:when=4'],
        ...['pwrite64:error=ENOSPC:when=5', 'pwrite64:error=EIO:when=5'],
        // The mode was set then. The first flush is that of the temporary file.
        'fdatasync:error=EIO:when=2',
      ];
      for (const fault of faults) {
        for (const form of replaceForms) {
          await makeFile(target, oldContents, 0o644);
          await giveTo(identity, directory);
          const { value } = await withFaults(
            agents.children,
            agent.pid,
            [failingRename('EPERM'), fault],
            () => agent[form](target, newContents, { mode: 0o600 }).catch(itself),
          );
          expect(value, fault).toMatchObject({
            code: /error=(\w+)/.exec(fault)?.[1],
            phase: 'copy',
            published: false,
            targetState: 'restored',
          });
          await expectFile(target, { contents: oldContents, mode: 0o644 }, fault);
        }
      }
    });
  });

  test('and a file that gets shorter is cut last: restored when that fails', async () => {
    await withAgentInDirectory(identity, async (directory, agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), oldContents, 0o644);
      await giveTo(identity, directory);
      const { value, calls } = await withFaults(
        agents.children,
        agent.pid,
        [failingRename('EPERM'), 'ftruncate:error=EIO:when=1'],
        () => agent.replaceFile(target, 'short', { mode: 0o600 }).catch(itself),
      );
      expect(value).toMatchObject({ code: 'EIO', phase: 'copy', targetState: 'restored' });
      const cut = calls.findIndex(({ name }) => name === 'ftruncate');
      expect(calls.slice(0, cut).filter(({ name }) => name === 'pwrite64')).toHaveLength(4);
      await expectFile(target, { contents: oldContents, mode: 0o644 });
    });
  });

  test.each([
    ['readRegularFile', readRegularFile],
    ['readRegularFileSync', (file: string) => Promise.resolve(readRegularFileSync(file))],
    ['replaceFile', null],
  ] as const)(
    'and a copy that can neither go on nor back say so, and %s makes it good',
    async (_name, read) => {
      await withAgentInDirectory(identity, async (directory, agent, agents) => {
        const target = await makeFile(path.join(directory, 'data'), oldContents, 0o644);
        await giveTo(identity, directory);
        const { value } = await withFaults(
          agents.children,
          agent.pid,
          [failingRename('EPERM'), 'pwrite64:error=EIO:when=5+'],
          () => agent.replaceFile(target, newContents, { mode: 0o600 }).catch(itself),
        );
        expect(value).toMatchObject({
          code: 'EIO',
          phase: 'copy',
          published: false,
          targetState: 'unknown',
        });
        expect((await readFile(target, 'utf8')).length).toBe(newContents.length);
        expect(await leftBehind(directory)).toEqual([expect.stringMatching(/\.journal$/)]);

        if (read === null) {
          // What begins and does not come to its end has still made the old contents good.
          await expect(
            agent.replaceFile(target, [{ call: 'noSuchCall', args: [] }]),
          ).rejects.toThrow(TypeError.name === 'TypeError' ? /not a function/ : '');
        } else {
          expect((await read(target))?.contents.toString()).toBe(oldContents);
        }
        await expectFile(target, { contents: oldContents, mode: 0o644 });
        await agent.replaceFile(target, newContents);
        await expectFile(target, { contents: newContents, mode: 0o644 });
      });
    },
  );
});

describe.runIf(has('bindMount'))('a single file that is mounted over another', () => {
  const whileMounted = async (use: (target: string, source: string) => Promise<void>) =>
    withTemporaryDirectory(async (directory) => {
      const source = path.join(directory, 'elsewhere', 'source');
      const target = path.join(directory, 'place', 'data');
      await mkdir(path.dirname(source));
      await mkdir(path.dirname(target));
      await makeFile(source, oldContents, 0o640);
      await makeFile(target, 'covered');
      await withBindMount(source, target, () => use(target, source));
      await expectFile(target, { contents: 'covered', mode: 0o640 });
    });

  test.each(replaceForms)('is written in place: %s', async (form) => {
    await whileMounted(async (target, source) => {
      for (const [contents, mode] of [
        [newContents, 0o600],
        ['short', 0o644],
      ] as const) {
        const result = await replaceBy(form, target, contents, { mode, durability: 'full' });
        expect(result).toMatchObject({ method: 'copy', durable: true });
        await expectFile(target, { contents, mode });
        await expectFile(source, { contents, mode });
      }
      expect((await replaceBy(form, target, 'kept')).kept).toContain('mode');
      await expectFile(source, { contents: 'kept', mode: 0o644 });
    });
  });

  test.each(replaceForms)("is EBUSY under copyFallback: 'never': %s", async (form) => {
    await whileMounted(async (target, source) => {
      await expect(
        replaceBy(form, target, newContents, { copyFallback: 'never' }),
      ).rejects.toMatchObject({
        ...{ code: 'EBUSY', syscall: 'rename', path: target },
        ...{ phase: 'publish', published: false, targetState: 'old' },
      });
      await expectFile(target, { contents: oldContents, mode: 0o640 });
      await expectFile(source, { contents: oldContents, mode: 0o640 });
    });
  });
});

describe.runIf(has('ordinaryUser'))(
  'a writable file in a directory that may not be written',
  () => {
    const inDirectory = async (
      use: (
        target: string,
        journalDir: string,
        agent: ProcessAgent,
        agents: LockAgents,
      ) => Promise<void>,
    ) =>
      withAgentInDirectory(ordinaryUser, async (directory, agent, agents) => {
        const parent = path.join(directory, 'parent');
        const journalDir = path.join(directory, 'journals');
        await mkdir(parent);
        await mkdir(journalDir, { mode: 0o700 });
        const target = await makeFile(path.join(parent, 'data'), oldContents, 0o640);
        await giveTo(ordinaryUser, directory);
        await chmod(parent, 0o555);
        await use(target, journalDir, agent, agents);
        expect(await modeOf(parent)).toBe(0o555);
        expect(await readdir(parent)).toEqual(['data']);
        expect(await readdir(journalDir)).toEqual([]);
      });

    test.each(replaceForms)('is written in place, with a journal elsewhere: %s', async (form) => {
      await inDirectory(async (target, journalDir, agent) => {
        for (const [contents, mode] of [
          [newContents, 0o600],
          ['short', 0o644],
        ] as const) {
          const result = await agent[form](target, contents, { mode, journalDir });
          expect(result).toMatchObject({ method: 'copy' });
          await expectFile(target, { contents, mode });
        }
      });
    });

    test.each(replaceForms)(
      "is EACCES under 'never', without journalDir and without the directory that it names: %s",
      async (form) => {
        await inDirectory(async (target, journalDir, agent) => {
          const intact = { published: false, targetState: 'old' };
          await expect(
            agent[form](target, newContents, { journalDir, copyFallback: 'never' }),
          ).rejects.toMatchObject({ ...intact, code: 'EACCES', phase: 'create', path: target });
          await expect(agent[form](target, newContents)).rejects.toMatchObject({
            ...intact,
            ...{ name: 'HoldfastError', code: 'EACCES', refused: true },
            ...{ phase: 'create', path: target },
            message: expect.stringContaining("'journalDir'") as string,
          });
          const absent = path.join(journalDir, 'absent');
          await expect(
            agent[form](target, newContents, { journalDir: absent }),
          ).rejects.toMatchObject({ ...intact, code: 'ENOENT', path: absent });
          await expectFile(target, { contents: oldContents, mode: 0o640 });
        });
      },
    );

    test('is EACCES when the file may not be written either, and nothing is left', async () => {
      await inDirectory(async (target, journalDir, agent) => {
        await chmod(target, 0o440);
        for (const options of [{}, { journalDir }]) {
          await expect(agent.replaceFile(target, newContents, options)).rejects.toMatchObject({
            ...{ code: 'EACCES', published: false, targetState: 'old' },
          });
        }
        await expectFile(target, { contents: oldContents, mode: 0o440 });
      });
    });

    test.runIf(has('strace'))(
      'is made good by who names the directory of journals, after a copy that could not go back',
      async () => {
        await inDirectory(async (target, journalDir, agent, agents) => {
          const { value } = await withFaults(
            agents.children,
            agent.pid,
            ['pwrite64:error=EIO:when=5+'],
            () => agent.replaceFile(target, newContents, { journalDir, mode: 0o600 }).catch(itself),
          );
          expect(value).toMatchObject({ code: 'EIO', phase: 'copy', targetState: 'unknown' });
          expect(await readdir(journalDir)).toHaveLength(1);
          const found = await agent.readRegularFile(target, { journalDir });
          expect(found?.contents.toString()).toBe(oldContents);
          await expectFile(target, { contents: oldContents, mode: 0o640 });
        });
      },
    );
  },
);

function itself(error: unknown): unknown {
  return error;
}
