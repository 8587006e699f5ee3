import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile, replaceFile, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withBindMount } from './helpers/mounts.js';
import {
  expectFile,
  makeFile,
  replaceBy,
  replaceForms,
  replaceWays,
} from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

describe.runIf(has('bindMount'))(
  'a mounted file that was replaced where it is mounted from',
  () => {
    test.each(replaceForms)('%s is ESTALE', async (form) => {
      await withTemporaryDirectory(async (directory) => {
        const source = await makeFile(path.join(directory, 'source'), 'mounted');
        await mkdir(path.join(directory, 'place'));
        const target = await makeFile(path.join(directory, 'place', 'data'), 'covered');
        await withBindMount(source, target, async () => {
          await writeFile(`${source}-new`, 'replaced outside');
          await rename(`${source}-new`, source);
          expect((await stat(target)).nlink).toBe(0);
          await expect(replaceBy(form, target, 'new')).rejects.toMatchObject({
            ...{ name: 'HoldfastError', code: 'ESTALE', refused: true, path: target },
            ...{ published: false, targetState: 'old' },
            message: expect.stringContaining('replaced outside this mount') as string,
          });
          await expect(updateFile(target, () => 'new')).rejects.toMatchObject({ code: 'ESTALE' });
          await expectFile(target, { contents: 'mounted' });
        });
        expect((await readRegularFile(source))?.contents.toString()).toBe('replaced outside');
      });
    });
  },
);

describe.runIf(has('appendOnly'))('a directory that is append-only', () => {
  test.each(replaceWays)(
    'keeps no temporary or undo file of a replace: $way',
    async ({ options }) => {
      await withTemporaryDirectory(async (directory) => {
        const place = path.join(directory, 'place');
        const journalDir = path.join(directory, 'undo-files');
        await mkdir(place);
        await mkdir(journalDir);
        const target = await makeFile(path.join(place, 'data'), 'old');
        await run('chattr', ['+a', place]);
        try {
          for (const form of replaceForms) {
            for (let tries = 0; tries < 3; tries++) {
              await expect(replaceBy(form, target, 'new', options)).rejects.toMatchObject({
                ...{ code: 'EPERM', published: false, targetState: 'old' },
                message: expect.stringContaining("'journalDir'") as string,
              });
            }
            expect(await readdir(place)).toEqual(['data']);
            const copied = await replaceBy(form, target, form, { ...options, journalDir });
            expect(copied).toMatchObject({ method: 'copy' });
            expect(await readdir(place)).toEqual(['data']);
            expect(await readdir(journalDir)).toEqual([]);
          }
          // A new file stays, as every name here does.
          await replaceFile(path.join(place, 'other'), 'new', { createOnly: true });
        } finally {
          await run('chattr', ['-a', place]);
        }
        expect((await readdir(place)).sort()).toEqual(['data', 'other']);
        await expectFile(target, { contents: 'replaceFileSync' });
      });
    },
  );
});

describe.runIf(has('strace'))('where a directory cannot be flushed', () => {
  test('a replace with full durability succeeds, and is not durable', async () => {
    await withAgentInDirectory(undefined, async (directory, agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const code of ['EINVAL', 'EOPNOTSUPP']) {
        for (const form of replaceForms) {
          // The flushes of a renamed file: its own, then the directory's.
          const { value } = await withFaults(
            agents.children,
            agent.pid,
            [`fsync:error=${code}:when=2`],
            () => agent[form](target, code, { durability: 'full' }),
          );
          expect(value).toMatchObject({ durable: false });
          await expectFile(target, { contents: code });
        }
      }
    });
  });
});

describe.runIf(has('strace'))('where only close() tells of a full disk', () => {
  test('a replace without durability reports it, and the old contents stay', async () => {
    await withAgentInDirectory(undefined, async (directory, agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const form of replaceForms) {
        const { value } = await withFaults(
          agents.children,
          agent.pid,
          ['close:error=EDQUOT:when=1'],
          () => agent[form](target, 'new', { durability: 'none' }).catch((error: unknown) => error),
        );
        expect(value).toMatchObject({ code: 'EDQUOT', published: false, targetState: 'old' });
        await expectFile(target, { contents: 'old' });
      }
    });
  });
});

describe.runIf(has('modes'))('a directory in the place of the waiting name', () => {
  test('is removed by a compare-and-swap when it is empty, and named when it is not', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const waiting = path.join(directory, '.holdfast-2918445923.tmp');
      await mkdir(waiting);
      await updateFile(target, () => 'updated');
      expect(await readdir(directory)).not.toContain(path.basename(waiting));
      await mkdir(path.join(waiting, 'full'), { recursive: true });
      await expect(updateFile(target, () => 'again')).rejects.toMatchObject({
        ...{ code: 'ECORRUPT', refused: true, path: waiting },
      });
      await rm(waiting, { recursive: true });
      expect((await readRegularFile(target))?.contents.toString()).toBe('updated');
    });
  });
});
