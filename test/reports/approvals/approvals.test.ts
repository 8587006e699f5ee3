import { chmod, link, mkdir, readdir, readlink, stat, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';

import type { ReplaceSyncOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from '../../helpers/agent-in-directory.js';
import { has } from '../../helpers/capabilities.js';
import type { LockAgents, ProcessAgent } from '../../helpers/lock-agents.js';
import { expectFile, makeFile, modeOf, replaceForms } from '../../helpers/replaced-file.js';
import { withFaults } from '../../helpers/system-call-faults.js';
import { giveTo, users } from '../../helpers/users.js';

// A program keeps what its user has approved in `exec-approvals.json`, a secret of mode 0600. The rename over it fails
// with EPERM, EEXIST or EBUSY while another process holds it open, and a careless copy in its place destroyed it.

const before = JSON.stringify({ approvals: ['ls'], socket: { token: 'old' } });
const after = JSON.stringify({ approvals: ['ls', 'git status'], socket: { token: 'new' } });
const secret: ReplaceSyncOptions = { mode: 0o600 };

const renameFailures = ['EPERM', 'EEXIST', 'EBUSY'] as const;
/** What keeps renames from working, or null: nothing. */
const conditions = [null, ...(has('strace') ? renameFailures : [])];

interface Program {
  file: string;
  directory: string;
  save: (contents: string, options?: ReplaceSyncOptions) => Promise<unknown>;
  umask: (mask: number) => Promise<number>;
}

describe.each(users)('as $name', ({ identity }) => {
  describe.each(replaceForms)('by %s', (form) => {
    describe.each(conditions)('while a rename fails with %s', (condition) => {
      /** The program in its directory, with an existing file. `saving` does what it does under the condition. */
      const withProgram = async (
        use: (program: Program, saving: Saving) => Promise<void>,
      ): Promise<void> =>
        withAgentInDirectory(identity, async (home, agent, agents) => {
          const directory = path.join(home, '.program');
          await mkdir(directory);
          await chmod(directory, 0o755);
          const file = await makeFile(path.join(directory, 'exec-approvals.json'), before, 0o644);
          await giveTo(identity, home);
          const umask = async (mask: number) => agent.umask(mask);
          const save = async (contents: string, options: ReplaceSyncOptions = {}) =>
            agent[form](file, contents, { ...secret, ...options });
          await use(
            { file, directory, save, umask },
            underCondition(agents, agent, home, condition),
          );
        });

      test('the file has mode 0600 and all its bytes, whatever the umask; nothing is left beside it', async () => {
        await withProgram(async ({ file, directory, save, umask }, saving) => {
          for (const mask of [0o022, 0o077, 0o777, 0]) {
            await umask(mask);
            const contents = `${after}${mask.toString(8)}`;
            const result = await saving([], () => save(contents));
            expect(result).toMatchObject({ method: condition === null ? 'rename' : 'copy' });
            await expectFile(file, { contents, mode: 0o600 });
            expect(await readdir(directory)).toEqual(['exec-approvals.json']);
            if (has('modes')) expect(await modeOf(directory)).toBe(0o755);
            await chmod(file, 0o644);
          }
        });
      });

      test('a second name of the file, or what a link in its place leads to, keeps bytes and mode: both are refused', async () => {
        await withProgram(async ({ file, directory, save }, saving) => {
          const sentinel = path.join(directory, 'sentinel');
          await link(file, sentinel);
          expect(await saving([], () => save(after).catch(itself))).toMatchObject({
            ...{ code: 'EMLINK', refused: true, published: false, targetState: 'old' },
          });
          await expectFile(file, { contents: before, mode: 0o644 });
          await expectFile(sentinel, { contents: before, mode: 0o644 });
          expect((await stat(file)).ino).toBe((await stat(sentinel)).ino);

          if (!has('symlinks')) return;
          await unlink(file);
          await symlink(sentinel, file);
          expect(await saving([], () => save(after).catch(itself))).toMatchObject({
            ...{ code: 'ELOOP', refused: true, published: false, targetState: 'old' },
          });
          await expectFile(sentinel, { contents: before, mode: 0o644 });
          expect(await readlink(file)).toBe(sentinel);
        });
      });

      test.runIf(condition !== null)(
        'a copy that fails half-way restores bytes and mode',
        async () => {
          await withProgram(async ({ file, directory, save }, saving) => {
            for (const fault of ['ENOSPC:when=5', 'EIO:when=5']) {
              const outcome = await saving([`pwrite64:error=${fault}`], () =>
                save(after).catch(itself),
              );
              expect(outcome).toMatchObject({
                ...{ code: fault.split(':')[0], phase: 'copy' },
                ...{ published: false, targetState: 'restored' },
              });
              await expectFile(file, { contents: before, mode: 0o644 }, fault);
              expect(await readdir(directory)).toEqual(['exec-approvals.json']);
            }
          });
        },
      );

      test.runIf(has('modes'))(
        'a directory is made with mode 0700, checked or tightened only if that is asked for',
        async () => {
          await withProgram(async ({ file, directory, save, umask }, saving) => {
            await umask(0o777);
            const outcome = await saving([], () =>
              save(after, { requireDirMode: 0o700 }).catch(itself),
            );
            expect(outcome).toMatchObject({ code: 'EPERM', refused: true, targetState: 'old' });
            await expectFile(file, { contents: before, mode: 0o644 });
            expect(await modeOf(directory)).toBe(0o755);
            await saving([], () => save(after, { tightenDir: 0o700 }));
            await expectFile(file, { contents: after, mode: 0o600 });
            expect(await modeOf(directory)).toBe(0o700);
          });
        },
      );
    });

    test.runIf(has('modes'))(
      'a directory that is made has mode 0700 and can be used, under umask 0777',
      async () => {
        await withAgentInDirectory(identity, async (home, agent) => {
          await agent.umask(0o777);
          const directory = path.join(home, '.program');
          const file = path.join(directory, 'exec-approvals.json');
          for (const contents of [before, after]) {
            await agent[form](file, contents, { ...secret, recursive: true, dirMode: 0o700 });
            await expectFile(file, { contents, mode: 0o600 });
          }
          expect(await modeOf(directory)).toBe(0o700);
          expect((await agent.readRegularFile(file))?.contents.toString()).toBe(after);
        });
      },
    );
  });

  test.runIf(has('symlinks')).each([
    { way: 'copy', options: { copyFallback: 'always' } },
    { way: 'rename', options: {} },
  ] as const)(
    'a link that an attacker swaps in between check and $way does not redirect the write',
    async ({ way, options }) => {
      await withAgentInDirectory(identity, async (home, agent) => {
        const file = await makeFile(path.join(home, 'exec-approvals.json'), before, 0o600);
        const victim = await makeFile(path.join(home, 'victim'), 'the victim', 0o644);
        await giveTo(identity, home);
        const outcome = await agent
          .replaceFile(
            file,
            [
              { chunk: after.slice(0, 10) },
              { call: 'unlinkSync', args: [file] },
              { call: 'symlinkSync', args: [victim, file] },
              { chunk: after.slice(10) },
            ],
            { ...secret, ...options },
          )
          .catch(itself);
        await expectFile(victim, { contents: 'the victim', mode: 0o644 });
        if (way === 'copy') {
          expect(outcome).toMatchObject({ code: 'ELOOP', refused: true, targetState: 'old' });
          expect(await readlink(file)).toBe(victim);
        } else {
          expect(outcome).toMatchObject({ method: 'rename' });
          await expectFile(file, { contents: after, mode: 0o600 });
        }
        expect(await readdir(home)).toEqual(['exec-approvals.json', 'victim']);
      });
    },
  );
});

/** Does `save` while renames fail as the condition says, and other system calls as `faults` do. */
type Saving = <T>(faults: string[], save: () => Promise<T>) => Promise<T>;

function underCondition(
  agents: LockAgents,
  agent: ProcessAgent,
  home: string,
  condition: (typeof conditions)[number],
): Saving {
  return async (faults, save) => {
    if (condition === null) return save();
    const all = [`renameat,renameat2:error=${condition}`, ...faults];
    const { value } = await withFaults(agents.children, agent.pid, all, async () => {
      const outcome = await save();
      // Also where the save was refused before it came to a rename, that would have failed.
      await expect(agent.replaceFile(path.join(home, 'new'), 'new')).rejects.toMatchObject({
        code: condition,
      });
      return outcome;
    });
    return value;
  };
}

function itself(error: unknown): unknown {
  return error;
}
