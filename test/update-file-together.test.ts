import { AsyncLocalStorage } from 'node:async_hooks';
import { linkSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { tryLockSync, updateFile } from 'holdfast';
import type { FileLock, UpdateFunction } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { takeAway } from './helpers/taken-away.js';
import { stateOf, withFile } from './helpers/updated-file.js';

describe('calls at the same time', () => {
  test('share a commit with equal options, however these are written', async () => {
    await withFile('', async (file) => {
      const states = new Set<string>();
      const append = (letter: string) => (current: Buffer | null) => {
        states.add(stateOf(file));
        return `${String(current)}${letter}`;
      };
      const url = pathToFileURL(file);
      const results = await Promise.all([
        updateFile(file, append('a'), { mode: 0o600, durability: 'none' }),
        updateFile(url, append('b'), { durability: 'none', mode: 0o600 }),
        updateFile(file, append('c'), {
          mode: 0o600,
          durability: 'none',
          signal: undefined,
        }),
      ]);
      expect(readFileSync(file, 'utf8')).toBe('abc');
      expect(states.size).toBe(1);
      expect(results.map(String)).toEqual(['a', 'ab', 'abc']);
    });
  });

  test('do not with different ones', async () => {
    await withFile('', async (file) => {
      const states = new Set<string>();
      const append = (letter: string) => (current: Buffer | null) => {
        states.add(stateOf(file));
        return `${String(current)}${letter}`;
      };
      await Promise.all([
        updateFile(file, append('a'), { durability: 'none' }),
        updateFile(file, append('b'), { durability: 'ordered' }),
        updateFile(file, append('c'), { durability: 'none', mode: 0o600 }),
      ]);
      expect([...readFileSync(file)].sort()).toEqual([...Buffer.from('abc')]);
      expect(states.size).toBe(3);
    });
  });

  test('run one after the other, each in the asynchronous context of its caller', async () => {
    await withFile('', async (file) => {
      const context = new AsyncLocalStorage<string>();
      let inside = 0;
      const append = async (current: Buffer | null): Promise<string> => {
        expect(++inside).toBe(1);
        const before = context.getStore();
        await sleep(1);
        expect(context.getStore()).toBe(before);
        inside--;
        return `${String(current)}${before}`;
      };
      const letters = ['a', 'b', 'c', 'd'];
      await Promise.all(
        letters.map((letter) => context.run(letter, () => updateFile(file, append))),
      );
      expect(readFileSync(file, 'utf8')).toBe('abcd');
    });
  });

  test('one that throws drops only its own change', async () => {
    await withFile('', async (file) => {
      const error = new Error('mine');
      const [first, second, third] = await Promise.allSettled([
        updateFile(file, (current) => `${String(current)}a`),
        updateFile(file, async () => {
          await sleep(1);
          throw error;
        }),
        updateFile(file, (current) => `${String(current)}c`),
      ]);
      expect(first.status).toBe('fulfilled');
      expect(second).toEqual({ status: 'rejected', reason: error });
      expect(third).toMatchObject({ status: 'fulfilled' });
      expect(readFileSync(file, 'utf8')).toBe('ac');
    });
  });

  test('one that changes what it was given in place and then throws changes nothing for the next', async () => {
    await withFile('old', async (file) => {
      const [spoiled, next] = await Promise.allSettled([
        updateFile(file, (current) => {
          current?.fill('x');
          throw new Error('mine');
        }),
        updateFile(file, (current) => `${String(current)} and new`),
      ]);
      expect(spoiled.status).toBe('rejected');
      expect(next.status).toBe('fulfilled');
      expect(readFileSync(file, 'utf8')).toBe('old and new');
    });
  });

  test('each get a result of their own', async () => {
    await withFile('', async (file) => {
      const mine = Buffer.from('a');
      const results = await Promise.all([
        updateFile(file, () => mine),
        updateFile(file, () => undefined),
      ]);
      results[0]?.fill('x');
      expect(results.map(String)).toEqual(['x', 'a']);
      expect(String(mine)).toBe('a');
      expect(readFileSync(file, 'utf8')).toBe('a');
    });
  });

  test('fail together when their commit fails', async () => {
    await withFile('old', async (file) => {
      const outcomes = await Promise.allSettled([
        updateFile(file, () => 'a'),
        updateFile(file, () => {
          linkSync(file, `${file}2`);
          return 'b';
        }),
      ]);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'EMLINK' } });
      }
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('fail together when their lock is lost', async () => {
    await withFile('old', async (file, directory) => {
      const outcomes = await Promise.allSettled([
        updateFile(file, () => 'a'),
        updateFile(file, () => {
          takeAway(path.join(directory, '.file.lock'));
          return 'b';
        }),
      ]);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ECOMPROMISED' } });
      }
      expect(readFileSync(file, 'utf8')).toBe('old');
      // The next one starts afresh.
      await updateFile(file, () => 'new');
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });

  test('one that has lost the lock and throws, after a while, fails alone', async () => {
    await withFile('old', async (file, directory) => {
      const error = new Error('no');
      const throwing = updateFile(file, async () => {
        // Longer than a round serves calls, so that the other one is not part of it.
        await sleep(60);
        takeAway(path.join(directory, '.file.lock'));
        throw error;
      });
      const [outcome] = await Promise.allSettled([throwing, updateFile(file, () => 'new')]);
      expect(outcome).toMatchObject({ status: 'rejected', reason: error });
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });
});

test.each<[string, UpdateFunction<string | undefined | Promise<string>>]>([
  ['returns', () => 'new'],
  ['leaves the file alone', () => undefined],
  [
    'throws',
    () => {
      throw new Error('no');
    },
  ],
  ['rejects', () => Promise.reject(new Error('no'))],
])('the lock is free as soon as the caller is told: fn %s', async (_what, fn) => {
  await withFile('old', async (file) => {
    // The next thing that happens, without a turn in between in which the lock could still be released.
    let held: FileLock | null;
    try {
      await updateFile(file, fn);
      held = tryLockSync(file);
    } catch {
      held = tryLockSync(file);
    }
    held?.releaseSync();
    expect(held).not.toBeNull();
  });
});
