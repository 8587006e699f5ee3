import { chmod, chown, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import {
  expectFile,
  leftBehind,
  makeFile,
  modeOf,
  replaceCases,
  replaceForms,
} from './helpers/replaced-file.js';
import { giveTo, users } from './helpers/users.js';

const umasks = [0o777, 0o077, 0o022, 0];
const octal = (mode: number) => mode.toString(8);

describe.runIf(has('modes')).each(users)('as $name', ({ identity }) => {
  test.each(replaceCases)(
    'the mode of an existing file is exactly what was asked for, whatever the umask: $form, $way',
    async ({ form, way, options }) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const target = path.join(directory, 'data');
        await makeFile(target, 'old', 0o644);
        await giveTo(identity, directory);
        for (const umask of umasks) {
          await agent.umask(umask);
          for (const mode of [0o600, 0o644, 0o666, 0o700, 0o640]) {
            const contents = `${octal(umask)} ${octal(mode)}`;
            const result = await agent[form](target, contents, { ...options, mode });
            expect(result).toMatchObject({ method: way });
            expect(result.kept, contents).not.toContain('mode');
            await expectFile(target, { contents, mode }, contents);
          }
        }
      });
    },
  );

  test.each(replaceCases)(
    'the mode of an existing file is kept when none is asked for: $form, $way',
    async ({ form, options }) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const target = path.join(directory, 'data');
        await makeFile(target, 'old');
        await giveTo(identity, directory);
        for (const umask of umasks) {
          await agent.umask(umask);
          for (const mode of [0o600, 0o644, 0o666, 0o700]) {
            await chmod(target, mode);
            const result = await agent[form](target, 'new', options);
            expect(result.kept).toContain('mode');
            await expectFile(target, { contents: 'new', mode }, octal(umask));
          }
        }
      });
    },
  );

  test.each(replaceForms)(
    'a new file has the mode that was asked for, else what the umask leaves of 0666: %s',
    async (form) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        for (const umask of umasks) {
          await agent.umask(umask);
          for (const mode of [undefined, 0, 0o400, 0o600, 0o666]) {
            for (const copyFallback of ['auto', 'always'] as const) {
              const what = [umask, mode ?? 0o10000].map(octal).concat(copyFallback).join('-');
              const target = path.join(directory, what);
              const options = { copyFallback, ...(mode === undefined ? {} : { mode }) };
              expect((await agent[form](target, what, options)).kept, what).toEqual([]);
              expect(await modeOf(target), what).toBe(mode ?? 0o666 & ~umask);
              // This process may read it, or make it so.
              await chmod(target, 0o600);
              expect(await readFile(target, 'utf8')).toBe(what);
            }
          }
        }
        expect(await leftBehind(directory)).toEqual([]);
      });
    },
  );

  test.each(replaceCases)(
    'set-id bits are dropped unless they are asked for: $form, $way',
    async ({ form, options }) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const target = await makeFile(path.join(directory, 'data'), 'old');
        await giveTo(identity, directory);
        for (const [before, after] of [
          [0o6755, 0o755],
          [0o4711, 0o711],
          [0o2770, 0o770],
        ] as const) {
          await chmod(target, before);
          await agent[form](target, 'new', options);
          await expectFile(target, { contents: 'new', mode: after }, octal(before));
        }
        for (const mode of [0o4755, 0o4700, 0o755]) {
          await agent[form](target, 'newer', { ...options, mode });
          await expectFile(target, { contents: 'newer', mode }, octal(mode));
        }
      });
    },
  );

  test('directories that are made have exactly the mode that was asked for, whatever the umask', async () => {
    await withAgentInDirectory(identity, async (directory, agent) => {
      for (const umask of umasks) {
        await agent.umask(umask);
        for (const dirMode of [0o700, 0o750, 0o755]) {
          for (const form of replaceForms) {
            const top = path.join(directory, `${form}-${octal(umask)}-${octal(dirMode)}`);
            const target = path.join(top, 'a', 'b', 'data');
            const options = { recursive: true, dirMode, mode: 0o600, requireDirMode: dirMode };
            await agent[form](target, 'new', options);
            for (const made of [top, path.join(top, 'a'), path.join(top, 'a', 'b')]) {
              expect(await modeOf(made), made).toBe(dirMode);
            }
            await expectFile(target, { contents: 'new', mode: 0o600 });
          }
        }
      }
      expect(await modeOf(directory)).toBe(0o700);
    });
  });

  test('without recursive a missing directory is ENOENT, and none is made', async () => {
    await withAgentInDirectory(identity, async (directory, agent) => {
      for (const form of replaceForms) {
        await expect(
          agent[form](path.join(directory, 'absent', 'data'), 'new', { dirMode: 0o700 }),
        ).rejects.toMatchObject({ code: 'ENOENT', phase: 'open', targetState: 'old' });
      }
      expect(await readdir(directory)).toEqual([]);
    });
  });

  test.each(replaceCases)(
    'an existing directory is left alone, refused by requireDirMode and set by tightenDir: $form, $way',
    async ({ form, options }) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const parent = path.join(directory, 'parent');
        await mkdir(parent);
        const target = await makeFile(path.join(parent, 'data'), 'old', 0o600);
        await giveTo(identity, directory);
        for (const mode of [0o755, 0o1777, 0o2775, 0o711]) {
          await chmod(parent, mode);
          await agent[form](target, 'new', { ...options, recursive: true, dirMode: 0o700 });
          await expectFile(target, { contents: 'new', mode: 0o600 });
          expect(await modeOf(parent)).toBe(mode);

          await expect(
            agent[form](target, 'refused', { ...options, requireDirMode: 0o700 }),
          ).rejects.toMatchObject({
            name: 'HoldfastError',
            code: 'EPERM',
            refused: true,
            phase: 'open',
            published: false,
            targetState: 'old',
          });
          await expectFile(target, { contents: 'new', mode: 0o600 });
          expect(await modeOf(parent)).toBe(mode);

          await agent[form](target, 'newer', { ...options, tightenDir: 0o700 });
          await expectFile(target, { contents: 'newer', mode: 0o600 });
          expect(await modeOf(parent)).toBe(0o700);
          await agent[form](target, 'newest', { ...options, requireDirMode: 0o700 });
          await expectFile(target, { contents: 'newest', mode: 0o600 });
        }
      });
    },
  );
});

describe.runIf(has('ordinaryUser'))("somebody else's directory", () => {
  test.each([
    { who: 'an ordinary user', identity: ordinaryUser, owner: { uid: 0, gid: 0 } },
    { who: 'root', identity: undefined, owner: ordinaryUser },
  ])('is not tightened by $who, who may write in it', async ({ identity, owner }) => {
    await withAgentInDirectory(identity, async (directory, agent) => {
      const parent = path.join(directory, 'parent');
      await mkdir(parent);
      await chown(parent, owner.uid, owner.gid);
      await chmod(parent, 0o777);
      const target = path.join(parent, 'data');
      for (const form of replaceForms) {
        await agent[form](target, form, { mode: 0o600, tightenDir: 0o700 });
        await expectFile(target, { contents: form, mode: 0o600 });
        expect(await modeOf(parent)).toBe(0o777);
        await expect(
          agent[form](target, 'refused', { tightenDir: 0o700, requireDirMode: 0o700 }),
        ).rejects.toMatchObject({ code: 'EPERM', refused: true, phase: 'open' });
        await expectFile(target, { contents: form, mode: 0o600 });
      }
    });
  });
});
