import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { inspectLock, lock, tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('a lock that nobody ever took is free, and looking leaves nothing behind', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    expect(await inspectLock(target)).toMatchObject({
      target,
      lockPath: path.join(directory, '.data.lock'),
      state: 'free',
      shared: null,
      holder: null,
      pids: [],
      malformed: false,
    });
    expect(await readdir(directory)).toEqual([]);
  }));

test('state and holder are right before, during and after', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { session: 'nightly' });
    expect(await inspectLock(target)).toMatchObject({
      state: 'held',
      shared: false,
      holder: { pid: process.pid, session: 'nightly', token: held.token, self: true },
      liveness: 'alive',
    });
    await held.release();
    expect(await inspectLock(target)).toMatchObject({ state: 'free', holder: null });

    const shared = await lock(target, { shared: true });
    expect(await inspectLock(target)).toMatchObject({ state: 'held', shared: true, holder: null });
    await shared.release();
  }));

test.runIf(has('proc'))('the kernel names the processes that hold the lock', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const first = await lock(target, { shared: true });
    const second = await lock(target, { shared: true });
    expect((await inspectLock(target)).pids).toEqual([process.pid, process.pid]);
    await first.release();
    await second.release();
  }),
);

test.runIf(has('flockCommand'))('a holder that is not holdfast is seen, too', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    await held.release();
    const script = `require('holdfast').inspectLock(process.argv[1]).then((seen) => console.log(seen.state, seen.holder))`;
    const outcome = await run('flock', [held.lockPath, process.execPath, '-e', script, target]);
    expect(outcome).toMatchObject({ code: 0, signal: null, stdout: 'held null\n' });
  }),
);

test('a look neither takes nor changes anything', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const bytes = await readFile(held.lockPath);
    const before = await stat(held.lockPath);
    await Promise.all(Array.from({ length: 100 }, () => inspectLock(target)));
    held.verify();
    expect(await readFile(held.lockPath)).toEqual(bytes);
    expect((await stat(held.lockPath)).mtimeMs).toBe(before.mtimeMs);
    expect(await tryLock(target)).toBeNull();
    await held.release();
  }));
