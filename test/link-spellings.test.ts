import { mkdir, readdir, symlink } from 'node:fs/promises';
import path from 'node:path';

import fc from 'fast-check';
import { lock, lockSync, tryLockSync, updateFile } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const noise = fc.constantFrom('/', '//', '/./', '/.//./');
const end = fc.constantFrom('', '/', '//', '/.', '/./', '/.//');

/** Texts of a link in the directory `d` that lead to `d/c`. */
const linkText = fc
  .tuple(fc.constantFrom('', './', '../d/', './../d/', 'e/../', '<d>/'), noise, end)
  .map(([before, slashes, after]) => ({ before, slashes, after }));

test.runIf(has('symlinks'))(
  'lockSync with links: follow takes the lock of the target for every spelling of the link',
  () =>
    withTemporaryDirectory(async (home) => {
      const directory = path.join(home, 'd');
      await mkdir(path.join(directory, 'c'), { recursive: true });
      await mkdir(path.join(directory, 'e'));
      let links = 0;
      await fc.assert(
        fc.asyncProperty(linkText, end, fc.boolean(), async (text, spelling, twice) => {
          const before = text.before.replace('<d>', directory).replaceAll('/', text.slashes);
          const name = `k${links++}`;
          const link = path.join(directory, name);
          await symlink(`${before}c${text.after}`, link);
          if (twice) await symlink(`${name}${text.after}`, `${link}-again`);
          const given = `${link}${twice ? '-again' : ''}${spelling}`;
          const held = lockSync(given, { links: 'follow' });
          try {
            expect(tryLockSync(path.join(directory, 'c'))).toBeNull();
          } finally {
            held.releaseSync();
          }
        }),
        { numRuns: 60 },
      );
      const lockFiles = (await readdir(directory)).filter((name) => name.endsWith('.lock'));
      expect(lockFiles).toEqual(['.c.lock']);
    }),
);

test.runIf(has('symlinks'))(
  'lock refuses a path that ends in .. behind a link, and takes one that ends in .. elsewhere',
  () =>
    withTemporaryDirectory(async (home) => {
      await mkdir(path.join(home, 'far', 'inner'), { recursive: true });
      await symlink(path.join(home, 'far', 'inner'), path.join(home, 'link'), 'dir');
      const held = lockSync(`${home}/far/inner/..`);
      expect(held.target).toBe(path.join(home, 'far'));
      held.releaseSync();
      if (process.platform === 'win32') return; // ".." is text there
      await expect(lock(`${home}/link/..`)).rejects.toThrow(
        new TypeError(
          `target must not end in '..' behind a link: give the path that this leads to, got "${home}/link/.."`,
        ),
      );
    }),
);

test('lock and updateFile answer at once when a path has thousands of slashes and dots', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = `${directory}/x/..${'/'.repeat(10_000)}./y`;
    await mkdir(path.join(directory, 'x'));
    await updateFile(file, () => 'contents');
    expect((await readdir(directory)).sort()).toEqual(['.y.lock', 'x', 'y']);
  });
  const long = `/${'a/'.repeat(20_000)}`;
  await expect(lock(long)).rejects.toThrow(RangeError);
  await expect(lock(`/x/..${'/'.repeat(50_000)}`)).rejects.toThrow(
    'target must have at most 32767 characters, got one of 50005',
  );
});
