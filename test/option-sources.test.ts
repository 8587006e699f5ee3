import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  JobStore,
  lock,
  lockSync,
  openJournal,
  readRegularFile,
  replaceFile,
  SessionLock,
  tryLockSync,
  updateFile,
  updateFileSync,
  updateJson,
  withLock,
  withLockSync,
} from 'holdfast';
import { expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

class Defaults {
  get maxBytes() {
    return 4;
  }
  describe() {
    return 'a method is no option';
  }
}

test('every verb takes options from the prototypes of the object that it is given', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, 'longer than that');
    const tooLong = { code: 'EFBIG' };
    for (const options of [Object.create({ maxBytes: 4 }) as object, new Defaults()]) {
      await expect(readRegularFile(file, options)).rejects.toMatchObject(tooLong);
      await expect(updateFile(file, () => 'x', options)).rejects.toMatchObject(tooLong);
      expect(() => updateFileSync(file, () => 'x', options)).toThrow(
        expect.objectContaining(tooLong) as Error,
      );
    }
    const held = await lock(file);
    const impatient = Object.create({ timeout: 0 }) as object;
    await expect(lock(file, impatient)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await expect(updateFile(file, () => 'x', impatient)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    await expect(
      held.replaceFile('x', Object.create({ createOnly: true }) as object),
    ).rejects.toMatchObject({ code: 'EEXIST' });
    await held.release();
    await expect(lock(file, Object.create({ tiemout: 5 }) as object)).rejects.toThrow(
      "unknown option 'tiemout'",
    );
  }));

test('no verb takes an option from Object.prototype', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const planted: Record<string, unknown> = {
      ...{ failOpen: true, owners: 'any', links: 'follow', parents: 'trust', shared: true },
      ...{
        timeout: 0,
        mode: 0o666,
        lockFileMode: 0o666,
        lockPath: path.join(directory, 'planted'),
      },
      ...{ createOnly: true, journalDir: directory, dirMode: 0o777, tightenDir: 0o777, retry: 0 },
      ...{ hardLinks: 'split', within: '/nowhere', copyFallback: 'always', maxBytes: 1, keep: [] },
      ...{ expected: '', ttl: 100, session: 'planted', nested: 'wait', durability: 'none' },
    };
    Object.assign(Object.prototype, planted);
    try {
      for (const options of [undefined, {}]) {
        const held = lockSync(file, options);
        expect(held.shared).toBe(false);
        expect(tryLockSync(file, options)).toBeNull();
        held.releaseSync();
        await replaceFile(file, 'old', options);
        await replaceFile(file, 'old', options);
        await updateFile(file, (current) => `${String(current)} and new`, options);
        expect((await readRegularFile(file, options))?.contents.toString()).toBe('old and new');
      }
    } finally {
      for (const name of Object.keys(planted)) Reflect.deleteProperty(Object.prototype, name);
    }
    expect((await readdir(directory)).sort()).toEqual(['.file.lock', 'file']);
  }));

test('every verb refuses surplus and misplaced arguments', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const loose = <Result>(fn: (...args: never[]) => Result) =>
      fn as (...args: unknown[]) => Result;
    const held = await lock(file);
    const store = new JobStore(path.join(directory, 'jobs'));
    const session = new SessionLock(path.join(directory, 'session'));
    const nothing = () => undefined;
    const calls: [string, () => unknown][] = [
      ['lock', () => loose(lock)(file, {}, 1)],
      ['lockSync', () => loose(lockSync)(file, {}, 1)],
      ['tryLockSync', () => loose(tryLockSync)(file, {}, 1)],
      ['withLock', () => loose(withLock)(file, nothing, { timeout: 20 })],
      ['withLock', () => loose(withLock)(file, {}, nothing, 1)],
      ['withLockSync', () => loose(withLockSync)(file, nothing, { timeout: 20 })],
      ['readRegularFile', () => loose(readRegularFile)(file, {}, 1)],
      ['replaceFile', () => loose(replaceFile)(file, 'x', {}, 1)],
      ['updateFile', () => loose(updateFile)(file, nothing, {}, 1)],
      ['updateJson', () => loose(updateJson)(file, nothing, {}, 1)],
      ['openJournal', () => loose(openJournal)(file, {}, 1)],
      ['lock.release', () => loose(held.release.bind(held))(1)],
      ['lock.verify', () => loose(held.verify.bind(held))(1)],
      ['lock.replaceFile', () => loose(held.replaceFile.bind(held))('x', {}, 1)],
      ['store.update', () => loose(store.update.bind(store))('id', {}, {}, 1)],
      ['store.read', () => loose(store.read.bind(store))('id', {}, 1)],
      ['sessionLock.create', () => loose(session.create.bind(session))({}, 1)],
    ];
    for (const [verb, call] of calls) {
      await expect(Promise.resolve().then(call), verb).rejects.toThrow(TypeError);
    }
    expect(held.held).toBe(true);
    await held.release();
  }));
