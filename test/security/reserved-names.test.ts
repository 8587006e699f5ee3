import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  inspectLock,
  lock,
  lockSync,
  openJournal,
  readRegularFile,
  readRegularFileSync,
  replaceFile,
  replaceFileSync,
  SessionLock,
  tryLock,
  tryLockSync,
  updateFile,
  updateFileSync,
  updateJson,
  withLock,
  withLockSync,
} from 'holdfast';
import { expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

const reserved = [
  '.config.json.lock',
  '.config.json.lock.guard',
  '.holdfast-0123456789abcdef0123456789abcdef.tmp',
  '.holdfast-12-0-3456.journal',
  '.holdfast-x',
  // What some file system takes for one of these: case, compatible characters, characters that HFS+ leaves out.
  '.Config.json.LOCK',
  '.HOLDFAST-x.TMP',
  '.holdfa\u017ft-x',
  '.config.json.loc\u212a',
  '\u200c.hold\u200dfast-x',
];
const allowed = ['config.lock', '.lock', 'x.holdfast-y', '.holdfast', '.config.locked', 'lock'];

/** Every verb that takes the path of a target. */
const verbs: [string, (file: string) => unknown][] = [
  ['lock', (file) => lock(file)],
  ['tryLock', (file) => tryLock(file)],
  ['lockSync', (file) => lockSync(file)],
  ['tryLockSync', (file) => tryLockSync(file)],
  ['withLock', (file) => withLock(file, () => undefined)],
  ['withLockSync', (file) => withLockSync(file, () => undefined)],
  ['inspectLock', (file) => inspectLock(file)],
  ['readRegularFile', (file) => readRegularFile(file)],
  ['readRegularFileSync', (file) => readRegularFileSync(file)],
  ['replaceFile', (file) => replaceFile(file, 'x')],
  ['replaceFile with createOnly', (file) => replaceFile(file, 'x', { createOnly: true })],
  ['replaceFileSync', (file) => replaceFileSync(file, 'x')],
  ['updateFile', (file) => updateFile(file, () => 'x')],
  ['updateFileSync', (file) => updateFileSync(file, () => 'x')],
  ['updateJson', (file) => updateJson(file, () => ({}))],
  ['openJournal', (file) => openJournal(file)],
  ['SessionLock', (file) => new SessionLock(file)],
];

const refusal = { name: 'HoldfastError', code: 'EINVAL', refused: true };

test.each(verbs)('%s refuses a target that is named like a file of holdfast', (_verb, use) =>
  withTemporaryDirectory(async (directory) => {
    for (const name of reserved) {
      const file = path.join(directory, name);
      await expect(
        Promise.resolve().then(() => use(file)),
        name,
      ).rejects.toMatchObject({
        ...refusal,
        path: file,
      });
    }
    expect(await readdir(directory)).toEqual([]);
  }),
);

test('replaceFile and lock take names that only resemble those of holdfast', () =>
  withTemporaryDirectory(async (directory) => {
    for (const name of allowed) {
      const file = path.join(directory, name);
      await replaceFile(file, name);
      await withLock(file, () => undefined);
    }
    expect(await readdir(directory)).toEqual(expect.arrayContaining(allowed));
  }));

test.runIf(has('symlinks'))(
  'lock, readRegularFile, replaceFile and updateFile refuse a link that leads to a file of holdfast',
  () =>
    withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, '.config.json.lock');
      const link = path.join(directory, 'link');
      await writeFile(file, '');
      await symlink(file, link);
      const options = { links: 'follow' } as const;
      for (const use of [
        () => lock(link, options),
        () => readRegularFile(link, options),
        () => replaceFile(link, 'x', options),
        () => updateFile(link, () => 'x', options),
        () => lockSync(link, options),
        () => replaceFileSync(link, 'x', options),
        () => updateFileSync(link, () => 'x', options),
      ]) {
        await expect(Promise.resolve().then(() => use() as unknown)).rejects.toMatchObject(refusal);
      }
      expect((await readdir(directory)).sort()).toEqual(['.config.json.lock', 'link']);
    }),
);

test.runIf(has('symlinks'))('lock refuses a link whose text is not UTF-8', () =>
  withTemporaryDirectory(async (directory) => {
    if (process.platform === 'win32') return; // names are UTF-16 there
    await mkdir(path.join(directory, 'd'));
    const link = path.join(directory, 'link');
    await symlink(Buffer.from([0x64, 0x2f, 0xff]), link);
    await expect(lock(link, { links: 'follow' })).rejects.toMatchObject({
      code: 'ELOOP',
      refused: true,
    });
    expect(await readdir(path.join(directory, 'd'))).toEqual([]);
  }),
);

test('lock refuses a lockPath that is named like a temporary file of holdfast', () =>
  withTemporaryDirectory(async (directory) => {
    const lockPath = path.join(directory, '.holdfast-x.tmp');
    await expect(lock(path.join(directory, 'x'), { lockPath })).rejects.toMatchObject(refusal);
  }));
