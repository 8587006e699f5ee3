import { createRequire } from 'node:module';
import path from 'node:path';
import type * as holdfast from 'holdfast';
import { expect, test } from 'vitest';

import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Package = typeof holdfast;

/** Loads the package anew, as a test runner does that resets its modules; the addon is loaded once per process. */
function loadCopy(): Package {
  const require = createRequire(import.meta.url);
  const entry = path.join(projectDirectory, 'dist');
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(entry)) Reflect.deleteProperty(require.cache, file);
  }
  return require(path.join(entry, 'index.js')) as Package;
}

test('two copies of the package in one thread keep their locks apart', () =>
  withTemporaryDirectory(async (directory) => {
    const one = loadCopy();
    const other = loadCopy();
    expect(one.lock).not.toBe(other.lock);
    const first = await one.lock(path.join(directory, 'first'));
    const second = await other.lock(path.join(directory, 'second'));
    expect(await other.tryLock(first.target)).toBeNull();
    expect(await one.tryLock(second.target)).toBeNull();

    await first.release();
    second.verify();
    expect(second.held).toBe(true);
    expect(await one.tryLock(second.target)).toBeNull();

    const waiting = one.lock(second.target);
    await second.release();
    const handedOver = await waiting;
    handedOver.verify();
    await handedOver.release();
  }));

test('lockSync of one copy throws EDEADLK when another copy in the thread holds the lock', () =>
  withTemporaryDirectory(async (directory) => {
    const one = loadCopy();
    const other = loadCopy();
    const target = path.join(directory, 'data');
    const deadlock = expect.objectContaining({ code: 'EDEADLK' }) as Error;
    const held = await one.lock(target);
    expect(() => other.lockSync(target)).toThrow(deadlock);
    expect(() => other.updateFileSync(target, () => 'x')).toThrow(deadlock);
    await held.release();
    other.lockSync(target).releaseSync();
    const shared = await one.lock(target, { shared: true });
    other.lockSync(target, { shared: true }).releaseSync();
    expect(() => other.lockSync(target)).toThrow(deadlock);
    await shared.release();
  }));

test('withLock of one copy rejects with EDEADLK inside a withLock of another copy', () =>
  withTemporaryDirectory(async (directory) => {
    const one = loadCopy();
    const other = loadCopy();
    const target = path.join(directory, 'data');
    const deadlock = { code: 'EDEADLK' };
    await one.withLock(target, async () => {
      await expect(other.withLock(target, () => 0)).rejects.toMatchObject(deadlock);
      await expect(other.updateFile(target, () => 'x')).rejects.toMatchObject(deadlock);
    });
  }));
