import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { lock, lockSync, replaceFile, tryLockSync, updateFile, withLock } from 'holdfast';
import type { FileLock } from 'holdfast';
import { expect, test } from 'vitest';

import { atScale } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const late = Buffer.alloc(24 << 20, 'late');
const options = { durability: 'none' } as const;

/** Every way to begin a write under a lock. */
const writes: [string, (held: FileLock, file: string) => Promise<unknown>][] = [
  ['lock.replaceFile', (held) => held.replaceFile(late, options)],
  ['replaceFile with lock', (held, file) => replaceFile(file, late, { ...options, lock: held })],
  [
    'lock.replaceFile, by a copy',
    (held) => held.replaceFile(late, { ...options, copyFallback: 'always' }),
  ],
];

/** Every way to release it while the write is pending. */
const releases: [string, (held: FileLock) => unknown][] = [
  ['release', (held) => held.release()],
  ['releaseSync', (held) => held.releaseSync()],
  ['await using', (held) => held[Symbol.asyncDispose]()],
  ['using', (held) => held[Symbol.dispose]()],
];

const cases = writes.flatMap(([write, begin]) =>
  releases.map(([release, end]) => ({ write, begin, release, end })),
);

test.each(cases)('$write publishes nothing after $release', ({ begin, end }) =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, 'old');
    for (let round = 0; round < atScale(20, 3); round++) {
      const held = await lock(file);
      const pending = begin(held, file).then(
        () => 'published' as const,
        (error: unknown) => error,
      );
      // At different moments of its way.
      await sleep(round * 3);
      await end(held);
      // In another process this would be the next holder.
      const next = lockSync(file);
      const before = readFileSync(file).subarray(0, 4).toString();
      await sleep(50);
      expect(readFileSync(file).subarray(0, 4).toString()).toBe(before);
      next.releaseSync();
      const outcome = await pending;
      if (outcome !== 'published') {
        expect(outcome).toMatchObject({ code: 'ECOMPROMISED' });
      }
      await updateFile(file, () => 'next', options);
      expect(readFileSync(file, 'utf8')).toBe('next');
    }
    expect((await readdir(directory)).sort()).toEqual(['.file.lock', 'file']);
  }),
);

test('withLock leaves no write behind when its function rejects before the write is done', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, 'old');
    const reason = new Error('stop');
    let pending: Promise<unknown> = Promise.resolve();
    await expect(
      withLock(file, (held) => {
        pending = held.replaceFile(late, options);
        return Promise.all([pending, Promise.reject(reason)]);
      }),
    ).rejects.toBe(reason);
    await updateFile(file, () => 'next', options);
    await expect(pending).rejects.toMatchObject({ code: 'ECOMPROMISED' });
    expect(readFileSync(file, 'utf8')).toBe('next');
  }));

test('lock.replaceFile of a stream rejects when the lock is released before the stream ends', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const held = await lock(file);
    const stream = new PassThrough();
    const pending = held.replaceFile(stream, options);
    stream.write('half');
    await held.release();
    const next = tryLockSync(file);
    expect(next).not.toBeNull();
    stream.end(' and half');
    await expect(pending).rejects.toMatchObject({ code: 'ECOMPROMISED' });
    next?.releaseSync();
    expect(await readdir(directory)).toEqual(['.file.lock']);
  }));

test('lock.replaceFile publishes nothing after the thread that held the lock was terminated', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, 'old');
    const program = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { lock } = require('holdfast');
      lock(workerData).then((held) => {
        held.replaceFile(Buffer.alloc(24 << 20, 'late'), { durability: 'none' }).catch(() => {});
        parentPort.postMessage('begun');
      });`;
    for (let round = 0; round < atScale(20, 3); round++) {
      const worker = new Worker(program, { eval: true, workerData: file });
      await new Promise((resolve) => worker.once('message', resolve));
      await sleep(round * 3);
      const ended = worker.terminate();
      const next = await lock(file);
      const before = readFileSync(file).subarray(0, 4).toString();
      await ended;
      await sleep(50);
      expect(readFileSync(file).subarray(0, 4).toString()).toBe(before);
      await next.replaceFile('next');
      await next.release();
    }
  }));
