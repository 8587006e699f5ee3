import { readdirSync } from 'node:fs';
import path from 'node:path';

import {
  lock,
  lockSync,
  tryLock,
  tryLockSync,
  updateFile,
  updateFileSync,
  withLock,
  withLockSync,
} from 'holdfast';
import { expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const asynchronous: [string, (target: string, options: never) => Promise<unknown>][] = [
  ['lock', lock],
  ['tryLock', tryLock],
  ['withLock', (target, options) => withLock(target, options, () => 0)],
  ['updateFile', (target, options) => updateFile(target, () => 'new', options)],
];

const synchronous: [string, (target: string, options: never) => unknown][] = [
  ['lockSync', lockSync],
  ['tryLockSync', tryLockSync],
  ['withLockSync', (target, options) => withLockSync(target, options, () => 0)],
  ['updateFileSync', (target, options) => updateFileSync(target, () => 'new', options)],
];

test.each(asynchronous)(
  '%s rejects a ttl that makes no sense, and leaves nothing',
  async (_, call) => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'file');
      for (const [ttl, type, message] of [
        ['3s', TypeError, `option 'ttl' must be a number, got "3s"`],
        [99, RangeError, `option 'ttl' must be whole milliseconds from 100 to 2147483647, got 99`],
        [0, RangeError, `option 'ttl' must be whole milliseconds from 100 to 2147483647, got 0`],
        [NaN, RangeError, /got NaN/],
        [Infinity, RangeError, /got Infinity/],
        [1000.5, RangeError, /got 1000\.5/],
      ] as const) {
        const error = await call(target, { ttl } as never).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(type);
        expect((error as Error).message).toMatch(message);
      }
      expect(readdirSync(directory)).toEqual([]);
    });
  },
);

test.each(synchronous)('%s has no ttl: a blocked thread shows no sign of life', async (_, call) => {
  await withTemporaryDirectory((directory) => {
    const target = path.join(directory, 'file');
    expect(() => call(target, { ttl: 3000 } as never)).toThrow(RangeError);
    expect(() => call(target, { ttl: 3000 } as never)).toThrow(/option 'ttl' does not apply to/);
    expect(readdirSync(directory)).toEqual([]);
  });
});

test('a shared lock has no ttl', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    await expect(lock(target, { ttl: 3000, shared: true })).rejects.toThrow(
      new RangeError("option 'ttl' is for exclusive locks, got a ttl of 3000 with shared: true"),
    );
    expect(readdirSync(directory)).toEqual([]);
  });
});
