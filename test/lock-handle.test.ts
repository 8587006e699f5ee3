import { readFile, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { runNode } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { takeAway } from './helpers/taken-away.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('a handle tells what it holds, before and after release', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data.json');
    const held = await lock(target);
    expect(held).toMatchObject({
      target,
      lockPath: path.join(directory, '.data.json.lock'),
      shared: false,
      held: true,
      lost: false,
      failedOpen: false,
      previousHolder: null,
    });
    expect(held.token).toBeTypeOf('number');
    expect(held.signal.aborted).toBe(false);
    await held.release();
    expect(held.held).toBe(false);
    expect(held.lost).toBe(false);
    expect(held.signal.aborted).toBe(false);
  }));

test('releasing twice does nothing, and leaves a later holder alone', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const first = await lock(target);
    await first.release();
    const second = await lock(target);
    const record = await readFile(second.lockPath);
    await first.release();
    first.releaseSync();
    expect(second.held).toBe(true);
    second.verify();
    expect(await readFile(second.lockPath)).toEqual(record);
    expect(await tryLock(target)).toBeNull();
    await second.release();
  }));

test('a handle is disposed of like any resource', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const first = await lock(target);
    await first[Symbol.asyncDispose]();
    expect(first.held).toBe(false);
    const second = lockSync(target);
    second[Symbol.dispose]();
    expect(second.held).toBe(false);
    tryLockSync(target)?.releaseSync();
  }));

test('the token grows with every exclusive grant, also when the lock file was removed in between', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    let last = 0;
    for (let round = 0; round < 20; round++) {
      const held = round % 2 === 0 ? await lock(target) : lockSync(target);
      expect(held.token).toBeGreaterThan(last);
      last = held.token ?? 0;
      if (round % 5 === 4) takeAway(held.lockPath);
      await held.release();
    }
  }));

test('a shared lock has no token and leaves the one in the lock file alone', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const before = await lock(target);
    await before.release();
    const shared = await lock(target, { shared: true });
    expect(shared.token).toBeNull();
    await shared.release();
    const after = await lock(target);
    expect(after.token).toBe((before.token ?? 0) + 1);
    await after.release();
  }));

test('the lock file stays after release, cleared of its holder', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { session: 'nightly' });
    expect(await readFile(held.lockPath, 'utf8')).toContain(`pid=${String(process.pid)}\n`);
    await held.release();
    const left = await readFile(held.lockPath, 'utf8');
    expect(left).toContain(`token=${String(held.token)}\n`);
    expect(left).not.toMatch(/pid=|host=|session/);
    expect(await readdir(directory)).toEqual(['.data.lock']);
  }));

test.each(['removed', 'replaced'] as const)('a lock whose file was %s is lost', (how) =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    held.verify();
    if (how === 'removed') takeAway(held.lockPath);
    else await rename(held.lockPath, path.join(directory, 'elsewhere'));
    const { signal } = held;
    expect(() => {
      held.verify();
    }).toThrow(expect.objectContaining({ code: 'ECOMPROMISED', path: held.lockPath }));
    expect(held).toMatchObject({ held: false, lost: true });
    expect(signal.reason).toMatchObject({ code: 'ECOMPROMISED' });
    await held.release();
  }),
);

test('the signal of a lock aborts by itself when the lock file is removed', () =>
  withTemporaryDirectory(async (directory) => {
    const held = await lock(path.join(directory, 'data'));
    const aborted = new Promise<unknown>((resolve) => {
      held.signal.addEventListener('abort', () => {
        resolve(held.signal.reason);
      });
    });
    takeAway(held.lockPath);
    expect(await aborted).toMatchObject({ code: 'ECOMPROMISED' });
    expect(held.lost).toBe(true);
    await held.release();
  }));

test('a lock that is dropped warns, stays held, and crashes nothing at the end', () =>
  withTemporaryDirectory(async (directory) => {
    const script = `
      const { channel } = require('node:diagnostics_channel');
      const { setImmediate: turn } = require('node:timers/promises');
      const { lock, tryLock } = require('holdfast');
      const target = process.argv[1];
      const events = [];
      channel('holdfast:dropped').subscribe((event) => events.push(event));
      const warnings = [];
      process.on('warning', (warning) => warnings.push(warning.code));
      (async () => {
        await (async () => { await lock(target); })();
        for (let turns = 0; turns < 1000 && warnings.length === 0; turns++) {
          globalThis.gc();
          await turn();
        }
        const stillHeld = (await tryLock(target)) === null;
        console.log(JSON.stringify({ warnings, events, stillHeld }));
      })();`;
    const target = path.join(directory, 'data');
    const child = await runNode(['-e', script, target], {
      execArgv: ['--expose-gc', '--no-warnings'],
      cwd: projectDirectory,
    });
    expect(child).toMatchObject({ code: 0, signal: null });
    expect(JSON.parse(child.stdout)).toEqual({
      warnings: ['HOLDFAST_LOCK_DROPPED'],
      events: [{ target, lockPath: path.join(directory, '.data.lock') }],
      stillHeld: true,
    });
    await (await lock(target, { timeout: 10_000 })).release();
  }));
