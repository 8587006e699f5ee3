import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { getSystemErrorMap } from 'node:util';
import {
  inspectLock,
  lock,
  lockSync,
  tryLock,
  tryLockSync,
  withLock,
  withLockSync,
} from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, runNode } from './helpers/child.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Call = (target: never, options?: never) => unknown;

/** Node's number for an error, which is not everywhere the C library's. */
function errnoOf(code: string): number | undefined {
  return [...getSystemErrorMap()].find(([, [name]]) => name === code)?.[0];
}

const asynchronous: [string, Call][] = [
  ['lock', lock],
  ['tryLock', tryLock],
  ['withLock', (target, options) => withLock(target, options, () => 0)],
  ['inspectLock', inspectLock],
];
const synchronous: [string, Call][] = [
  ['lockSync', lockSync],
  ['tryLockSync', tryLockSync],
  ['withLockSync', (target, options) => withLockSync(target, options, () => 0)],
];

/** What a call did with its arguments: the error it rejected with or threw, never a mixture of both. */
async function errorOf(call: () => unknown, form: 'async' | 'sync'): Promise<Error> {
  let returned: unknown;
  try {
    returned = call();
  } catch (error) {
    expect(form, 'an asynchronous form must reject, not throw').toBe('sync');
    return error as Error;
  }
  expect(form, 'a synchronous form must throw').toBe('async');
  return await (returned as Promise<unknown>).then(
    () => expect.fail('nothing was wrong'),
    (error: unknown) => error as Error,
  );
}

const forms = [
  ...asynchronous.map(([name, call]) => [name, call, 'async'] as const),
  ...synchronous.map(([name, call]) => [name, call, 'sync'] as const),
];

describe.each(forms)('%s', (name, call, form) => {
  test.each([
    ['an empty path', '', TypeError, "target must not be empty, got ''"],
    ['a NUL byte', 'a\0b', TypeError, 'target must not contain a NUL character, got "a\\u0000b"'],
    ['a number', 7, TypeError, 'target must be a path (string or file URL), got 7'],
    [
      'undefined',
      undefined,
      TypeError,
      'target must be a path (string or file URL), got undefined',
    ],
    ['an array', ['a'], TypeError, 'target must be a path (string or file URL), got an array'],
    [
      'an object without a prototype',
      Object.create(null),
      TypeError,
      'target must be a path (string or file URL), got an object',
    ],
    ['the root', '/', TypeError, 'target must name a file or directory in a directory, got "/"'],
  ])('refuses %s as the target', async (_what, target, type, message) => {
    const error = await errorOf(() => call(target as never), form);
    expect(error).toBeInstanceOf(type);
    expect(error.message).toBe(message);
  });

  test.each([
    [
      'an unknown option',
      { timeuot: 5 },
      TypeError,
      /^unknown option 'timeuot'; \w+ knows .*links/,
    ],
    ['options in an array', [], TypeError, /^options must be an object, got an array$/],
    ['options that are no object', 5, TypeError, /^options must be an object, got 5$/],
    [
      'a lockPath that is empty',
      { lockPath: '' },
      TypeError,
      /^option 'lockPath' must not be empty/,
    ],
    [
      'a wrong links policy',
      { links: 'maybe' },
      TypeError,
      /^option 'links' must be 'refuse' or 'follow', got "maybe"$/,
    ],
    [
      'a wrong parents policy',
      { parents: true },
      TypeError,
      /^option 'parents' must be 'trust' or 'refuse-links', got true$/,
    ],
  ])('names %s', async (_what, options, type, message) => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const error = await errorOf(() => call(target as never, options as never), form);
      expect(error).toBeInstanceOf(type);
      expect(error.message).toMatch(message);
      expect(readdirSync(directory)).toEqual([]);
    });
  });

  if (name !== 'inspectLock') {
    test.each([
      ['shared', 'yes', TypeError, /^option 'shared' must be a boolean, got "yes"$/],
      ['session', 5, TypeError, /^option 'session' must be a string, got 5$/],
      ['owners', 'root', TypeError, /^option 'owners' must be 'trusted' or 'any', got "root"$/],
      ['lockFileMode', '600', TypeError, /^option 'lockFileMode' must be an integer, got "600"$/],
      ['lockFileMode', 0o1600, RangeError, /^option 'lockFileMode' must be .*, got 0o1600$/],
      ['lockFileMode', 0o400, RangeError, /^option 'lockFileMode' must be .*, got 0o400$/],
    ])('checks %s: %j', async (option, value, type, message) => {
      const error = await errorOf(() => call('data' as never, { [option]: value } as never), form);
      expect(error).toBeInstanceOf(type);
      expect(error.message).toMatch(message);
    });
  }

  const waits = !name.startsWith('try') && name !== 'inspectLock';
  test.each([
    ['timeout', -1, RangeError, /^option 'timeout' must be 0 or more milliseconds, got -1$/],
    ['timeout', NaN, RangeError, /^option 'timeout' must be 0 or more milliseconds, got NaN$/],
    ['timeout', true, TypeError, /^option 'timeout' must be a number of milliseconds, got true$/],
    ['timeout', '5s', TypeError, /^option 'timeout' must be a number of milliseconds, got "5s"$/],
    ['onWait', {}, TypeError, /^option 'onWait' must be a function, got an instance of Object$/],
  ])(`${waits ? 'checks' : 'has no'} %s: %j`, async (option, value, type, message) => {
    const error = await errorOf(() => call('data' as never, { [option]: value } as never), form);
    expect(error).toBeInstanceOf(waits ? type : TypeError);
    expect(error.message).toMatch(
      waits ? message : new RegExp(`^option '${option}' does not apply to ${name}$`),
    );
  });

  test('gives the plain error of the system for a missing parent directory, and makes none', () =>
    withTemporaryDirectory(async (directory) => {
      const parent = path.join(directory, 'missing');
      const error = await errorOf(() => call(path.join(parent, 'data') as never), form);
      expect(error).toMatchObject({
        name: 'Error',
        message: `ENOENT: no such file or directory, open '${parent}'`,
        code: 'ENOENT',
        errno: errnoOf('ENOENT'),
        syscall: 'open',
        path: parent,
      });
      expect(await readdir(directory)).toEqual([]);
    }));

  test('gives the plain error of the system for a parent that is a file', () =>
    withTemporaryDirectory(async (directory) => {
      const parent = path.join(directory, 'file');
      await writeFile(parent, 'content');
      const error = await errorOf(() => call(path.join(parent, 'data') as never), form);
      expect(error).toMatchObject({ code: 'ENOTDIR', syscall: 'open', path: parent });
    }));
});

test('signal must be an AbortSignal, and is for asynchronous waits only', async () => {
  await expect(lock('data', { signal: {} as AbortSignal })).rejects.toThrow(
    "option 'signal' must be an AbortSignal, got an instance of Object",
  );
  expect(() => lockSync('data', { signal: AbortSignal.abort() } as object)).toThrow(
    "option 'signal' does not apply to lockSync",
  );
});

test('withLock wants a function', async () => {
  await expect(withLock('data', undefined as never)).rejects.toThrow(
    'fn of withLock must be a function, got undefined',
  );
  expect(() => withLockSync('data', {}, 5 as never)).toThrow(
    'fn of withLockSync must be a function, got number',
  );
});

const lockInChild = `
  const { lock, lockSync } = require('holdfast');
  const shape = ({ name, message, code, errno, syscall, path, refused }) =>
    ({ name, message, code, errno, syscall, path, refused });
  (async () => {
    const results = [];
    try { await lock(process.argv[1]); } catch (error) { results.push(shape(error)); }
    try { lockSync(process.argv[1]); } catch (error) { results.push(shape(error)); }
    console.log(JSON.stringify(results));
  })();`;

test.runIf(has('ordinaryUser'))(
  'a directory that may not be written: EACCES, and nothing is left behind',
  () =>
    withTemporaryDirectory(
      async (directory) => {
        const child = await runNode(['-e', lockInChild, path.join(directory, 'data')], {
          ...ordinaryUser,
          cwd: projectDirectory,
        });
        expect(child).toMatchObject({ code: 0, signal: null });
        const lockPath = path.join(directory, '.data.lock');
        const expected = {
          name: 'Error',
          message: `EACCES: permission denied, open '${lockPath}'`,
          code: 'EACCES',
          errno: -13,
          syscall: 'open',
          path: lockPath,
        };
        expect(JSON.parse(child.stdout)).toEqual([expected, expected]);
        expect(await readdir(directory)).toEqual([]);
      },
      { mode: 0o755 },
    ),
);

test.runIf(has('mountTmpfs'))('a read-only file system: EROFS, and nothing is left behind', () =>
  withTemporaryDirectory(async (directory) => {
    const mountPoint = path.join(directory, 'mount');
    await mkdir(mountPoint);
    const mount = await run('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', mountPoint]);
    expect(mount).toMatchObject({ code: 0, signal: null });
    try {
      await expect(lock(path.join(mountPoint, 'data'))).rejects.toMatchObject({
        code: 'EROFS',
        syscall: 'open',
        path: path.join(mountPoint, '.data.lock'),
      });
      expect(() => lockSync(path.join(mountPoint, 'data'))).toThrow(/^EROFS: /);
      expect(await readdir(mountPoint)).toEqual([]);
    } finally {
      await run('umount', [mountPoint]);
    }
  }),
);

test.runIf(has('mountTmpfs'))(
  'a full file system: ENOSPC, nothing stays locked and nothing is left behind',
  () =>
    withTemporaryDirectory(async (directory) => {
      const mountPoint = path.join(directory, 'mount');
      await mkdir(mountPoint);
      const mount = await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mountPoint]);
      expect(mount).toMatchObject({ code: 0, signal: null });
      try {
        await writeFile(path.join(mountPoint, 'fill'), Buffer.alloc(64 * 1024));
        const target = path.join(mountPoint, 'data');
        await expect(lock(target)).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'write' });
        expect(() => lockSync(target)).toThrow(/^ENOSPC: /);
        expect(await readdir(mountPoint)).toEqual(['fill']);
        await writeFile(path.join(mountPoint, 'fill'), '');
        await (await lock(target)).release();
      } finally {
        await run('umount', [mountPoint]);
      }
    }),
);

test('thousands of calls for a missing directory fail together', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'missing', 'data');
    const calls = Array.from({ length: 4000 }, () => lock(target));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true);
    const errors = new Set(
      outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason as Error),
    );
    expect(errors.size).toBe(4000);
  }));

test.runIf(has('proc'))('a refused attempt leaves no descriptor open', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    await mkdir(path.join(directory, '.refused.lock'));
    const held = await lock(target);
    const attempts = async (): Promise<void> => {
      for (let round = 0; round < 50; round++) {
        expect(await tryLock(target)).toBeNull();
        expect(tryLockSync(target)).toBeNull();
        await expect(lock(target, { timeout: 0 })).rejects.toThrow(/ETIMEDOUT/);
        expect(() => lockSync(target)).toThrow(/EDEADLK/);
        await expect(lock(path.join(directory, 'refused'))).rejects.toThrow(/EINVAL/);
        await expect(lock(path.join(directory, 'no', 'where'))).rejects.toThrow(/ENOENT/);
      }
    };
    const open = (): number => readdirSync('/proc/self/fd').length;
    await attempts();
    const before = open();
    await attempts();
    expect(open()).toBe(before);
    await held.release();
  }),
);
