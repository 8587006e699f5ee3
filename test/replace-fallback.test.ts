import { chmod, link, readdir, readFile, readlink, stat, symlink } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { AgentError } from './helpers/agent-lock.js';
import { has } from './helpers/capabilities.js';
import { expectFile, leftBehind, makeFile, replaceForms } from './helpers/replaced-file.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { withFaults } from './helpers/system-call-faults.js';
import { giveTo, users } from './helpers/users.js';

const oldContents = 'old bytes '.repeat(1000);
const newContents = 'NEW BYTES '.repeat(2000);

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
        ...['pwrite64:error=ENOSPC:when=5', 'pwrite64:error=EIO:when=5'],
        ...['pwrite64:error=ENOSPC:when=6', 'pwrite64:error=EIO:when=6'],
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
      expect(calls.slice(0, cut).filter(({ name }) => name === 'pwrite64')).toHaveLength(5);
      await expectFile(target, { contents: oldContents, mode: 0o644 });
    });
  });

  test.each([
    ['readRegularFile', (agent: ProcessAgent, file: string) => agent.readRegularFile(file)],
    ['readRegularFileSync', (agent: ProcessAgent, file: string) => agent.readRegularFileSync(file)],
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
          [failingRename('EPERM'), 'pwrite64:error=EIO:when=6+'],
          () => agent.replaceFile(target, newContents, { mode: 0o600 }).catch(itself),
        );
        expect(value).toMatchObject({
          code: 'EIO',
          phase: 'copy',
          published: false,
          targetState: 'unknown',
        });
        expect((await readFile(target, 'utf8')).length).toBe(newContents.length);
        // One file, under its two names.
        const undo: unknown = expect.stringMatching(/\.undo$/);
        expect(await leftBehind(directory)).toEqual([undo, undo]);

        if (read === null) {
          // What begins and does not come to its end has still made the old contents good.
          await expect(
            agent.replaceFile(target, [{ call: 'noSuchCall', args: [] }]),
          ).rejects.toThrow(TypeError.name === 'TypeError' ? /not a function/ : '');
        } else {
          expect((await read(agent, target))?.contents.toString()).toBe(oldContents);
        }
        await expectFile(target, { contents: oldContents, mode: 0o644 });
        await agent.replaceFile(target, newContents);
        await expectFile(target, { contents: newContents, mode: 0o644 });
      });
    },
  );
});

function itself(error: unknown): unknown {
  return error;
}
