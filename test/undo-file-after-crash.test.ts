import { readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile, replaceFile, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { withOverlay, withRemountableExt4 } from './helpers/mounts.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { leftBehind, makeFile, modeOf } from './helpers/replaced-file.js';
import { atScale } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { after, before, tearByCopy } from './helpers/torn-copy.js';
import { undoNamesOf } from './helpers/undo-file.js';

/** Hands `use` a file that a killed copy has torn. */
async function withTornFile(
  use: (file: string, directory: string, agents: LockAgents) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const file = await makeFile(path.join(directory, 'file'), before);
      await tearByCopy(agents, file);
      expectTorn(file);
      await use(file, directory, agents);
    }),
  );
}

function expectTorn(file: string): void {
  const contents = readFileSync(file);
  expect(contents.equals(before)).toBe(false);
  expect(contents.equals(after)).toBe(false);
}

const contentsOf = async (file: string): Promise<Buffer | undefined> =>
  (await readRegularFile(file))?.contents;

describe.runIf(has('strace'))('after a copy that a kill cut short', () => {
  test('readRegularFile restores the file when it was renamed', async () => {
    await withTornFile(async (file, directory) => {
      const renamed = path.join(directory, 'renamed');
      await rename(file, renamed);
      expect(await contentsOf(file)).toBeUndefined();
      expect((await contentsOf(renamed))?.equals(before)).toBe(true);
      expect(await leftBehind(directory)).toEqual([]);
    });
  });

  test('readRegularFile reads another file of that name, and restores the renamed one later', async () => {
    await withTornFile(async (file, directory) => {
      const renamed = path.join(directory, 'renamed');
      await rename(file, renamed);
      await writeFile(file, 'another');
      for (let reads = 0; reads < 2; reads++) {
        expect((await contentsOf(file))?.toString()).toBe('another');
      }
      // A copy into it needs the name of the undo file.
      await replaceFile(file, 'copied', { copyFallback: 'always' });
      expect((await contentsOf(file))?.toString()).toBe('copied');
      expect((await contentsOf(renamed))?.equals(before)).toBe(true);
      expect(await leftBehind(directory)).toEqual([]);
    });
  });

  test('readRegularFile keeps the undo file for the renamed one when the name has a good copy', async () => {
    await withTornFile(async (file, directory) => {
      const renamed = path.join(directory, 'renamed');
      await rename(file, renamed);
      await writeFile(file, before);
      expect((await contentsOf(file))?.equals(before)).toBe(true);
      expect((await contentsOf(renamed))?.equals(before)).toBe(true);
      expect(await leftBehind(directory)).toEqual([]);
    });
  });

  test.each([
    ['readRegularFile', (file: string) => readRegularFile(file)],
    ['replaceFile', (file: string) => replaceFile(file, 'later')],
    ['updateFile', (file: string) => updateFile(file, () => 'later')],
  ])(
    '%s refuses a file that was repaired in place, until the undo file is removed',
    async (_name, use) => {
      await withTornFile(async (file, directory) => {
        await writeFile(file, 'repaired by hand');
        const [byName] = await undoNamesOf(file);
        const undo = path.join(directory, byName);
        await expect(use(file)).rejects.toMatchObject({
          ...{ name: 'HoldfastError', code: 'ECORRUPT', refused: true, path: undo },
          message: expect.stringContaining('changed after a copy') as string,
        });
        expect(await readFile(file, 'utf8')).toBe('repaired by hand');
        expect((await readFile(undo)).subarray(-before.length).equals(before)).toBe(true);
        for (const name of await leftBehind(directory)) await rm(path.join(directory, name));
        expect((await contentsOf(file))?.toString()).toBe('repaired by hand');
      });
    },
  );

  test('readRegularFile keeps what was repaired to the new contents', async () => {
    await withTornFile(async (file, directory) => {
      await writeFile(file, after);
      expect((await contentsOf(file))?.equals(after)).toBe(true);
      expect(await leftBehind(directory)).toEqual([]);
    });
  });

  test.runIf(has('ordinaryUser'))(
    'a user who may write the file, and does not own it, finishes the restoration',
    async () => {
      await withTemporaryDirectory((directory) =>
        withLockAgents(async (agents) => {
          const undoFiles = path.join(directory, 'undo-files');
          await chmod(directory, 0o755);
          await mkdir(undoFiles);
          await chown(undoFiles, ordinaryUser.uid, ordinaryUser.gid);
          const file = await makeFile(path.join(directory, 'file'), before, 0o666);
          const options = { journalDir: undoFiles };
          await tearByCopy(agents, file, options, ordinaryUser);
          expectTorn(file);
          const agent = await agents.process(ordinaryUser);
          expect((await agent.readRegularFile(file, options))?.contents.equals(before)).toBe(true);
          expect(await modeOf(file)).toBe(0o666);
          expect(await readdir(undoFiles)).toEqual([]);
          expect(await agent.replaceFile(file, after, options)).toMatchObject({ method: 'copy' });
        }),
      );
    },
  );

  test.runIf(has('ordinaryUser'))(
    'a user who may not open the undo file gets EBUSY that names it',
    async () => {
      await withTornFile(async (file, directory, agents) => {
        await chmod(directory, 0o755);
        await chmod(file, 0o644);
        const [byName] = await undoNamesOf(file);
        const agent = await agents.process(ordinaryUser);
        const busy = { code: 'EBUSY', path: path.join(directory, byName) };
        await expect(agent.replaceFile(file, 'new', { retry: 100 })).rejects.toMatchObject(busy);
        // A read waits for ten seconds.
        for (let reads = 0; reads < atScale(1, 0); reads++) {
          await expect(agent.readRegularFile(file)).rejects.toMatchObject(busy);
        }
      });
    },
    60_000,
  );
});

describe.runIf(has('strace', 'mountExt4'))(
  'after a copy that a kill cut short, and a mount with another device number',
  () => {
    test('readRegularFile restores the file: ext4 in a file', async () => {
      await withRemountableExt4(async (root, remount) => {
        const file = await makeFile(path.join(root, 'file'), before);
        const { dev } = await stat(file);
        await withLockAgents((agents) => tearByCopy(agents, file));
        expectTorn(file);
        await remount();
        expect((await stat(file)).dev).not.toBe(dev);
        expect((await contentsOf(file))?.equals(before)).toBe(true);
        expect(await leftBehind(root)).toEqual([]);
      });
    });

    test('readRegularFile restores the file: a layer of an overlay', async () => {
      await withOverlay(async (root, lower, remount) => {
        await makeFile(path.join(lower, 'file'), before);
        await remount();
        const file = path.join(root, 'file');
        await withLockAgents((agents) => tearByCopy(agents, file));
        expectTorn(file);
        await remount();
        expect((await contentsOf(file))?.equals(before)).toBe(true);
        expect(await leftBehind(root)).toEqual([]);
      });
    });
  },
);
