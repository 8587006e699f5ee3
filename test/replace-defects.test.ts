import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
} from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, replaceFile, tryLock, updateFile } from 'holdfast';
import type { Data } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withSmallExt4 } from './helpers/mounts.js';
import {
  expectFile,
  makeFile,
  modeOf,
  replaceBy,
  replaceCases,
  replaceForms,
  replaceWays,
} from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { undoNamesOf } from './helpers/undo-file.js';

// Each of these loses data, secrets or the process with one package or another that replaces files.

test.runIf(has('mountExt4'))('a full disk does not cut a file and call that success', async () => {
  await withSmallExt4(async (root) => {
    const target = await makeFile(path.join(root, 'data'), 'o'.repeat(8192));
    const size = Number((await run('stat', ['-f', '-c', '%a', root])).stdout) * 1024 + 1000;
    for (const form of replaceForms) {
      await expect(replaceBy(form, target, Buffer.alloc(size))).rejects.toMatchObject({
        code: 'ENOSPC',
      });
      await expectFile(target, { contents: 'o'.repeat(8192), mode: 0o640 });
    }
  });
});

test.each(replaceCases)(
  'every kind of bytes is written whole: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const buffer = Uint8Array.from({ length: 64 }, (_, index) => index * 3 + 1).buffer;
      const shared = new SharedArrayBuffer(64);
      new Uint8Array(shared).set(new Uint8Array(buffer));
      const views = [
        ...[Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array],
        ...[Int32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
      ];
      const whole = Buffer.from(buffer);
      const cases: [string, Data, Buffer][] = [
        ...views.map((View): [string, Data, Buffer] => [
          `part of a ${View.name}`,
          new View(buffer, 16, 2),
          whole.subarray(16, 16 + 2 * View.BYTES_PER_ELEMENT),
        ]),
        ['DataView', new DataView(buffer, 5, 17), whole.subarray(5, 22)],
        ['Buffer', whole.subarray(3, 9), whole.subarray(3, 9)],
        ['ArrayBuffer', buffer, whole],
        ['SharedArrayBuffer', shared, whole],
        ['a view on shared memory', new Uint16Array(shared, 2, 4), whole.subarray(2, 10)],
        ['string', 'ä€😀\u0000x', Buffer.from('ä€😀\u0000x')],
        ['lone surrogate', '\ud800', Buffer.from('\ufffd')],
        ['nothing', '', Buffer.alloc(0)],
        ['an empty view', new Uint8Array(0), Buffer.alloc(0)],
      ];
      for (const [what, data, contents] of cases) {
        await replaceBy(form, target, data, options);
        await expectFile(target, { contents }, what);
        if (form === 'replaceFile') {
          await replaceFile(target, [data, data], options);
          await expectFile(target, { contents: Buffer.concat([contents, contents]) }, what);
        }
      }
    });
  },
);

test.each(replaceForms)(
  'what is no data is a TypeError, and not its name in the file: %s',
  async (form) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const data of [undefined, null, 5, true, {}, Symbol.iterator, () => 'x']) {
        await expect(replaceBy(form, target, data as never)).rejects.toThrow(TypeError);
      }
      await expect(replaceFile(target, ['a', 5 as never])).rejects.toThrow(TypeError);
      await expectFile(target, { contents: 'old', mode: 0o640 });
    });
  },
);

test.each(replaceCases)(
  'options are not changed, so that one file does not lend its mode to another: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const open = await makeFile(path.join(directory, 'open'), 'old', 0o644);
      const secret = await makeFile(path.join(directory, 'secret'), 'old', 0o600);
      const shared = { ...options };
      for (const target of [open, secret, open, secret]) {
        await replaceBy(form, target, 'new', shared);
        expect(shared).toEqual(options);
      }
      await replaceBy(form, secret, 'newer', Object.freeze(shared));
      await expectFile(open, { contents: 'new', mode: 0o644 });
      await expectFile(secret, { contents: 'newer', mode: 0o600 });
    });
  },
);

test.runIf(has('symlinks'))(
  'planted links under the names of temporary files and undo files are not followed',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const victim = await makeFile(path.join(directory, 'victim'), 'the victim', 0o600);
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const undoNames = await undoNamesOf(target);
      const names = new Set([
        ...['data.tmp', '.data.tmp', 'data~', '.data.lock', `.data.${process.pid}.tmp`],
        ...undoNames,
        ...(await namesOfTemporaries(directory)),
      ]);
      expect(names.size).toBeGreaterThan(6);
      for (const name of names) await symlink(victim, path.join(directory, name));
      for (const { options } of replaceWays) {
        for (const form of replaceForms) {
          // A link in the place of an undo file is removed, or refused: nothing is known of the file then.
          await replaceBy(form, target, 'new', options).catch((error: unknown) => {
            expect(error).toMatchObject({ refused: true, targetState: 'old', published: false });
          });
          expect((await lstat(target)).isFile()).toBe(true);
          expect(['old', 'new']).toContain(await readFile(target, 'utf8'));
        }
      }
      expect(await readFile(victim, 'utf8')).toBe('the victim');
      expect(await modeOf(victim)).toBe(0o600);
      // What stands in the way of holdfast's own names is removed where the directory is ours.
      for (const name of names) {
        if (name.startsWith('.holdfast-')) continue;
        expect(await readlink(path.join(directory, name))).toBe(victim);
      }
    });
  },
);

test.runIf(has('modes')).each(replaceCases)(
  'the directory of the file keeps its mode: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const mode of [0o755, 0o1777]) {
        await chmod(directory, mode);
        await replaceBy(form, target, 'new', { ...options, recursive: true, dirMode: 0o700 });
        expect(await modeOf(directory)).toBe(mode);
      }
    });
  },
);

test.each(replaceForms)('a long name is written exactly, or refused: %s', async (form) => {
  await withTemporaryDirectory(async (directory) => {
    for (const name of ['n'.repeat(255), 'ä'.repeat(127)]) {
      const target = path.join(directory, name);
      for (const { options } of replaceWays) {
        for (const contents of ['first', 'second']) {
          await replaceBy(form, target, contents, options);
          await expectFile(target, { contents }, name);
        }
      }
    }
    expect(await readdir(directory)).toHaveLength(2);
    // Windows counts UTF-16 units, the others bytes.
    const tooLong = ['n'.repeat(256), 'ä'.repeat(has('windowsPaths') ? 256 : 128), 'n'.repeat(300)];
    for (const name of tooLong) {
      await expect(replaceBy(form, path.join(directory, name), 'new')).rejects.toMatchObject({
        code: 'ENAMETOOLONG',
        targetState: 'old',
      });
    }
    expect(await readdir(directory)).toHaveLength(2);
  });
});

test.runIf(has('symlinks'))(
  'a link is neither replaced nor followed, and a second name not split off, unless that is asked for',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const dangling = path.join(directory, 'dangling');
      const hardLink = path.join(directory, 'twin');
      await symlink('absent', dangling);
      await link(target, hardLink);
      for (const form of replaceForms) {
        await expect(replaceBy(form, dangling, 'new')).rejects.toMatchObject({ code: 'ELOOP' });
        await expect(replaceBy(form, target, 'new')).rejects.toMatchObject({ code: 'EMLINK' });
      }
      expect(await readlink(dangling)).toBe('absent');
      expect((await stat(target)).ino).toBe((await stat(hardLink)).ino);
      await replaceFile(dangling, 'made', { links: 'follow' });
      expect(await readlink(dangling)).toBe('absent');
      await expectFile(path.join(directory, 'absent'), { contents: 'made' });
    });
  },
);

test('a lock stays on the path when the file under it is replaced', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = await makeFile(path.join(directory, 'data'), 'old');
    const held = await lock(target);
    for (const { options } of replaceWays) {
      for (const form of replaceForms) {
        await replaceBy(form, target, 'new', { ...options, lock: held });
        expect(await tryLock(target)).toBeNull();
        held.verify();
      }
    }
    let updated = false;
    const update = updateFile(target, () => {
      updated = true;
      return 'updated';
    });
    await sleep(20);
    expect(updated).toBe(false);
    await held.release();
    expect(String(await update)).toBe('updated');
    await expect(replaceFile(target, 'late', { lock: held })).rejects.toMatchObject({
      code: 'ECOMPROMISED',
    });
    await expectFile(target, { contents: 'updated', mode: 0o640 });
  });
});

async function namesOfTemporaries(directory: string): Promise<string[]> {
  const place = path.join(directory, 'seen');
  await mkdir(place);
  if (!has('strace')) return [];
  const program = `require('holdfast').replaceFileSync(process.argv[1], 'new')`;
  const target = path.join(place, 'data');
  const prefix = ['strace', '-f', '-o', '/dev/null', '-e', 'inject=renameat:signal=KILL'];
  const exit = await run('strace', [
    ...prefix.slice(1),
    ...[process.execPath, '-e', program, target],
  ]);
  expect(exit.signal).toBe('SIGKILL');
  return readdir(place);
}
