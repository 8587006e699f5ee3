import { mkdir, readdir, realpath, rename, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { mustBlock } from './helpers/must-block.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('the target may be absent, a file or a directory', () =>
  withTemporaryDirectory(async (directory) => {
    await writeFile(path.join(directory, 'file'), 'content');
    await mkdir(path.join(directory, 'folder'));
    for (const name of ['absent', 'file', 'folder']) {
      const target = path.join(directory, name);
      const held = await lock(target);
      expect(held.lockPath).toBe(path.join(directory, `.${name}.lock`));
      expect(tryLockSync(target)).toBeNull();
      await held.release();
    }
  }));

test('different targets do not block one another', () =>
  withTemporaryDirectory(async (directory) => {
    const first = await lock(path.join(directory, 'first'));
    const second = await lock(path.join(directory, 'second'), { timeout: 10_000 });
    const lookalike = lockSync(path.join(directory, 'first.lock'));
    await Promise.all([first.release(), second.release(), lookalike.release()]);
  }));

test('two spellings of one path are one lock, and one queue', () =>
  withTemporaryDirectory(async (directory) => {
    const parent = path.join(directory, 'parent');
    const target = path.join(parent, 'data');
    await mkdir(path.join(parent, 'inner'), { recursive: true });
    if (has('symlinks')) await symlink(parent, path.join(directory, 'link'));
    const spellings = [
      target,
      path.relative(process.cwd(), target),
      `${directory}/parent/../parent/data`,
      `${parent}/./inner//../data`,
      ...(has('symlinks') ? [`${directory}/link/data`] : []),
      `${target}/`,
      `${parent}/inner/../data/.`,
      `${target}/././`,
      pathToFileURL(target),
    ];
    const held = await lock(target);
    for (const spelling of spellings) {
      expect(await tryLock(spelling), String(spelling)).toBeNull();
      expect(tryLockSync(spelling), String(spelling)).toBeNull();
    }
    const order: number[] = [];
    const waiting = spellings.map((spelling, index) =>
      lock(spelling).then(async (granted) => {
        order.push(index);
        await granted.release();
      }),
    );
    const all = await mustBlock(Promise.all(waiting), 'every spelling');
    await held.release();
    await all();
    expect(order).toEqual(spellings.map((_spelling, index) => index));
    expect(await readdir(parent)).toEqual(['.data.lock', 'inner']);
  }));

test.runIf(has('symlinks'))('".." behind a symbolic link leads where the kernel says', () =>
  withTemporaryDirectory(async (directory) => {
    await mkdir(path.join(directory, 'far', 'inner'), { recursive: true });
    await symlink(path.join(directory, 'far', 'inner'), path.join(directory, 'link'));
    const held = await lock(`${directory}/link/../data`);
    expect(await readdir(path.join(directory, 'far'))).toContain('.data.lock');
    expect(await tryLock(path.join(directory, 'far', 'data'))).toBeNull();
    expect(path.dirname(await realpath(held.lockPath))).toBe(path.join(directory, 'far'));
    await held.release();
  }),
);

test('release goes to what was acquired, though the working directory has changed', () =>
  withTemporaryDirectory(async (directory) => {
    await mkdir(path.join(directory, 'elsewhere'));
    const script = `
      const { lock, lockSync, tryLock } = require('holdfast');
      (async () => {
        process.chdir(process.argv[1]);
        const held = await lock('data');
        const second = lockSync('other');
        process.chdir('elsewhere');
        held.verify();
        await held.release();
        second.releaseSync();
        process.chdir('..');
        const again = [await tryLock('data'), await tryLock('other')];
        console.log(again.every((lock) => lock !== null));
      })();`;
    const child = await runNode(['-r', 'holdfast', '-e', script, directory], {
      cwd: projectDirectory,
    });
    expect(child).toMatchObject({ code: 0, signal: null, stdout: 'true\n' });
    expect(await readdir(path.join(directory, 'elsewhere'))).toEqual([]);
  }));

test.runIf(has('symlinks'))(
  'release goes to what was acquired, though a parent has been renamed and a link put in its place',
  () =>
    withTemporaryDirectory(async (directory) => {
      const parent = path.join(directory, 'parent');
      await mkdir(parent);
      await mkdir(path.join(directory, 'trap'));
      const held = await lock(path.join(parent, 'data'));
      await rename(parent, path.join(directory, 'moved'));
      await symlink(path.join(directory, 'trap'), parent);
      held.verify();
      await held.release();
      expect(await readdir(path.join(directory, 'trap'))).toEqual([]);
      const again = await lock(path.join(directory, 'moved', 'data'));
      expect(again).toMatchObject({ token: (held.token ?? 0) + 1, previousHolder: null });
      await again.release();
    }),
);

test.each([
  ['a', 240],
  ['a', 255],
  ['ä', 127],
  ['€', 85],
])('a name too long for its lock file is locked by its hash: %s × %d', (letter, count) =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, letter.repeat(count));
    await writeFile(target, '');
    const held = await lock(target);
    expect(tryLockSync(target)).toBeNull();
    const names = await readdir(directory);
    const lockFile = names.find((name) => name.endsWith('.lock')) ?? '';
    expect(held.lockPath).toBe(path.join(directory, lockFile));
    if (Buffer.byteLength(path.basename(target)) > 243) {
      expect(lockFile).toMatch(/^\.[0-9a-f]{64}\.lock$/);
    }
    await held.release();
  }),
);

test.runIf(has('symlinks')).each([200, 240, 245, 255])(
  'a long name is one lock through a link, too: %d bytes',
  (length) =>
    withTemporaryDirectory(async (directory) => {
      await mkdir(path.join(directory, 'links'));
      const target = path.join(directory, 'n'.repeat(length));
      for (const link of ['short', 'l'.repeat(255)]) {
        await symlink(target, path.join(directory, 'links', link));
        const held = await lock(path.join(directory, 'links', link), { links: 'follow' });
        expect(await tryLock(target)).toBeNull();
        expect(path.dirname(held.lockPath)).toBe(directory);
        await held.release();
      }
      const held = await lock(target);
      expect(await tryLock(path.join(directory, 'links', 'short'), { links: 'follow' })).toBeNull();
      await held.release();
      expect(await readdir(path.join(directory, 'links'))).not.toContain(
        expect.stringMatching(/lock$/),
      );
    }),
);

test('lockPath puts the lock file where it says', () =>
  withTemporaryDirectory(async (directory) => {
    await mkdir(path.join(directory, 'locks'));
    const lockPath = path.join(directory, 'locks', 'shared.lock');
    const held = await lock(path.join(directory, 'one'), { lockPath });
    expect(held.lockPath).toBe(lockPath);
    expect(
      await tryLock(path.join(directory, 'two'), { lockPath: pathToFileURL(lockPath) }),
    ).toBeNull();
    expect(await readdir(directory)).toEqual(['locks']);
    await held.release();
  }));
