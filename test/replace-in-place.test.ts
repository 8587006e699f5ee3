import { chmod, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { withBindMount } from './helpers/mounts.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { expectFile, makeFile, modeOf, replaceBy, replaceForms } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { giveTo } from './helpers/users.js';

const oldContents = 'old bytes '.repeat(100);
const newContents = 'NEW BYTES '.repeat(200);

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
        const journalDir = path.join(directory, 'undo-files');
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

    test.each(replaceForms)(
      'is written in place, with an undo file elsewhere: %s',
      async (form) => {
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
      },
    );

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
      'is made good for a reader that names the directory of undo files, after a copy that could not go back',
      async () => {
        await inDirectory(async (target, journalDir, agent, agents) => {
          const { value } = await withFaults(
            agents.children,
            agent.pid,
            ['pwrite64:error=EIO:when=5+'],
            () => agent.replaceFile(target, newContents, { journalDir, mode: 0o600 }).catch(itself),
          );
          expect(value).toMatchObject({ code: 'EIO', phase: 'copy', targetState: 'unknown' });
          // One file, under its two names.
          expect(await readdir(journalDir)).toHaveLength(2);
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
