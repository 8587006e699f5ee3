// With a given `fs` there is nothing but its calls: which, how often, and what their errors lead to.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { check, lock, lockSync, unlock } from 'holdfast/proper-lockfile';
import { expect, test, vi } from 'vitest';

import { leaveDirectory, withLockfileTarget } from '../helpers/lockfile-target.js';
import { until } from '../helpers/process-figures.js';

type Callback = (error: Error | null, value?: unknown) => void;

const fails = (message: string) => (_path: string, callback: Callback) => {
  callback(new Error(message));
};

/** Those of node:fs, watched; they can be exchanged at any time. */
function watchedFs() {
  return {
    ...fs,
    mkdir: vi.fn((name: string, callback: Callback) => {
      fs.mkdir(name, callback);
    }),
    stat: vi.fn((name: string, callback: Callback) => {
      fs.stat(name, callback);
    }),
    rmdir: vi.fn((name: string, callback: Callback) => {
      fs.rmdir(name, callback);
    }),
    utimes: vi.fn((name: string, atime: Date, mtime: Date, callback: Callback) => {
      fs.utimes(name, atime, mtime, callback);
    }),
  };
}

const ignore = (): void => undefined;

test('it resolves the path, in every form', () =>
  withLockfileTarget(async ({ file }) => {
    const options = { fs: { ...fs, realpath: fails('no path') } };
    await expect(lock(file, options)).rejects.toThrow('no path');
    await expect(unlock(file, options)).rejects.toThrow('no path');
    await expect(check(file, options)).rejects.toThrow('no path');
  }));

test('no kernel lock is taken', () =>
  withLockfileTarget(async ({ place, file }) => {
    const release = await lock(file, { fs });
    expect(fs.readdirSync(place).sort()).toEqual(['file', 'file.lock']);
    await release();
  }));

test('an error of mkdir is handed on', () =>
  withLockfileTarget(async ({ file }) => {
    await expect(lock(file, { fs: { ...fs, mkdir: fails('no room') } })).rejects.toThrow('no room');
  }));

test('a lock costs a mkdir and a stat, and for the first time a utimes', () =>
  withLockfileTarget(async ({ file }) => {
    const given = watchedFs();
    await (
      await lock(file, { fs: given })
    )();
    const counts = () =>
      [given.mkdir, given.stat, given.utimes, given.rmdir].map((call) => call.mock.calls.length);
    expect(counts()).toEqual([1, 1, 1, 1]);
    await (
      await lock(file, { fs: given })
    )();
    expect(counts()).toEqual([2, 2, 1, 2]);
  }));

test('a directory that goes while its age is asked for is made anew', () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    leaveDirectory(lockfile, 60_000);
    const given = watchedFs();
    given.stat.mockImplementationOnce((name, callback) => {
      fs.rmdirSync(lockfile);
      fs.stat(name, callback);
    });
    await (
      await lock(file, { fs: given })
    )();
    expect(given.mkdir).toHaveBeenCalledTimes(2);
    // The second asks for the time of the new one.
    expect(given.stat).toHaveBeenCalledTimes(2);
  }));

test('… and only once, if it seems to be back every time', () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    leaveDirectory(lockfile, 60_000);
    const given = watchedFs();
    given.stat.mockImplementation((_name, callback) => {
      callback(Object.assign(new Error('gone'), { code: 'ENOENT' }));
    });
    await expect(lock(file, { fs: given })).rejects.toMatchObject({ code: 'ELOCKED' });
    expect(given.mkdir).toHaveBeenCalledTimes(2);
    expect(given.stat).toHaveBeenCalledTimes(1);
  }));

test('an error of stat is handed on', () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    leaveDirectory(lockfile, 60_000);
    const options = { fs: { ...fs, stat: fails('no answer') } };
    await expect(lock(file, options)).rejects.toThrow('no answer');
    await expect(check(file, options)).rejects.toThrow('no answer');
  }));

test('an error of rmdir on a stale directory is handed on', () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    leaveDirectory(lockfile, 60_000);
    await expect(lock(file, { fs: { ...fs, rmdir: fails('stuck') } })).rejects.toThrow('stuck');
    expect(fs.existsSync(lockfile)).toBe(true);
  }));

test('unlock takes the fs that it is given: an error of its rmdir is handed on, and the lock is given up', () =>
  withLockfileTarget(async ({ file }) => {
    await lock(file);
    await expect(unlock(file, { fs: { ...fs, rmdir: fails('stuck') } })).rejects.toThrow('stuck');
    await expect(unlock(file)).rejects.toMatchObject({ code: 'ENOTACQUIRED' });
    await (
      await lock(file)
    )();
  }));

test('… and that the directory is gone is no error', () =>
  withLockfileTarget(async ({ file }) => {
    await lock(file);
    const rmdir = vi.fn((_path: string, callback: Callback) => {
      callback(Object.assign(new Error('gone'), { code: 'ENOENT' }));
    });
    await unlock(file, { fs: { ...fs, rmdir } });
    expect(rmdir).toHaveBeenCalledTimes(1);
  }));

test.concurrent(
  'the time of a held lock moves on every `update`, and no more after the release',
  { timeout: 20_000 },
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const given = watchedFs();
      const release = await lock(file, { fs: given, update: 1000 });
      // Up to a second in the future at first, as theirs.
      const times = [fs.statSync(lockfile).mtimeMs];
      await until(() => given.utimes.mock.calls.length >= 3, 'a second update');
      await until(() => fs.statSync(lockfile).mtimeMs !== times[0], 'another time');
      await release();
      await sleep(1200);
      expect(given.utimes).toHaveBeenCalledTimes(3);
    }),
);

test.concurrent('a refresh that is under way at the release touches no later lock', () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    const given = watchedFs();
    const release = await lock(file, { fs: given, update: 1000 });
    let finish: () => void = ignore;
    given.utimes.mockImplementation((name, atime, mtime, callback) => {
      finish = () => {
        fs.utimes(name, atime, mtime, callback);
      };
    });
    await until(() => finish !== ignore, 'the first refresh');
    await release();
    const later = await lock(file);
    finish();
    await sleep(1200);
    expect(given.utimes).toHaveBeenCalledTimes(2);
    expect(fs.existsSync(lockfile)).toBe(true);
    await later();
  }),
);

test.concurrent(
  'a refresh that fails is tried again, and counts as a loss when the lock is stale',
  { timeout: 20_000 },
  () =>
    withLockfileTarget(async ({ file }) => {
      const given = watchedFs();
      const lost = vi.fn();
      const release = await lock(file, {
        fs: given,
        update: 1000,
        stale: 2000,
        onCompromised: lost,
      });
      given.utimes.mockImplementation((_name, _atime, _mtime, callback) => {
        callback(new Error('no answer'));
      });
      await until(() => lost.mock.calls.length > 0, 'the loss');
      expect(given.utimes.mock.calls.length).toBeGreaterThan(2);
      expect(lost).toHaveBeenCalledTimes(1);
      expect(lost.mock.calls[0]?.[0]).toMatchObject({ code: 'ECOMPROMISED', message: 'no answer' });
      await expect(release()).rejects.toMatchObject({ code: 'ERELEASED' });
    }),
);

test.concurrent(
  'a refresh that takes longer than `stale` is a loss, and the lock of the next holder stays',
  { timeout: 20_000 },
  () =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const given = watchedFs();
      const lost = vi.fn();
      await lock(file, { fs: given, update: 1000, stale: 2000, onCompromised: lost });
      given.utimes.mockImplementation((_name, _atime, _mtime, callback) => {
        setTimeout(callback, 3000, new Error('no answer'));
      });
      await until(() => given.utimes.mock.calls.length > 1, 'the refresh');
      leaveDirectory(lockfile, 60_000);
      const next = await lock(file, { stale: 2000 });
      await until(() => lost.mock.calls.length > 0, 'the loss');
      expect(lost.mock.calls[0]?.[0]).toMatchObject({ code: 'ECOMPROMISED' });
      expect(fs.existsSync(lockfile)).toBe(true);
      await next();
    }),
);

test.concurrent('a time that somebody else has set is a loss', { timeout: 20_000 }, () =>
  withLockfileTarget(async ({ file, lockfile }) => {
    const lost = vi.fn();
    await lock(file, { fs, update: 1000, stale: 5000, onCompromised: lost });
    leaveDirectory(lockfile, 60_000);
    await until(() => lost.mock.calls.length > 0, 'the loss');
    expect(lost.mock.calls[0]?.[0]).toMatchObject({
      code: 'ECOMPROMISED',
      message: 'Unable to update lock within the stale threshold',
    });
    fs.rmdirSync(lockfile);
  }),
);

const roundings = [
  { precision: 'milliseconds', round: (time: number) => time },
  {
    precision: 'whole seconds, rounded down',
    round: (time: number) => Math.floor(time / 1000) * 1000,
  },
  {
    precision: 'whole seconds, rounded up',
    round: (time: number) => Math.ceil(time / 1000) * 1000,
  },
];

test.concurrent.each(roundings)(
  'a file system with times in $precision keeps a lock',
  { timeout: 20_000 },
  ({ round }) =>
    withLockfileTarget(async ({ file }) => {
      const given = watchedFs();
      given.stat.mockImplementation((name, callback) => {
        fs.stat(name, (error, stats) => {
          callback(error, { mtime: new Date(round(stats.mtime.getTime())) });
        });
      });
      const lost = vi.fn();
      const release = await lock(file, { fs: given, update: 1000, onCompromised: lost });
      await until(() => given.utimes.mock.calls.length >= 3, 'a second refresh');
      await release();
      expect(lost).not.toHaveBeenCalled();
    }),
);

test('the synchronous forms use the synchronous functions', () =>
  withLockfileTarget(({ file, lockfile }) => {
    const mkdirSync = vi.fn(fs.mkdirSync);
    const rmdirSync = vi.fn(fs.rmdirSync);
    lockSync(file, { fs: { ...fs, mkdirSync, rmdirSync } })();
    expect(mkdirSync).toHaveBeenCalledExactlyOnceWith(lockfile);
    expect(rmdirSync).toHaveBeenCalledExactlyOnceWith(lockfile);
  }));

test('nothing is known of where its paths lead: they reach it as they are', () =>
  withLockfileTarget(async ({ file }) => {
    const calls: string[] = [];
    const given = {
      realpath: (_name: string, callback: Callback) => {
        callback(null, 'memory:file');
      },
      ...Object.fromEntries(
        ['mkdir', 'utimes', 'rmdir', 'stat'].map((method) => [
          method,
          (name: string, ...rest: unknown[]) => {
            calls.push(`${method} ${name}`);
            (rest.at(-1) as Callback)(null, { mtime: new Date(5) });
          },
        ]),
      ),
    };
    await (
      await lock(file, { fs: given })
    )();
    expect(calls).toEqual([
      'mkdir memory:file.lock',
      'utimes memory:file.lock',
      'stat memory:file.lock',
      'rmdir memory:file.lock',
    ]);
  }));
