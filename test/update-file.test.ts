import { AsyncLocalStorage } from 'node:async_hooks';
import { linkSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { chmod, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { HoldfastError, lock, tryLock, updateFile, updateFileSync, updateJson } from 'holdfast';
import type { Data, UpdateOptions } from 'holdfast';
import { afterEach, describe, expect, test, vi } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** A file with these contents; in the end nobody holds its lock, and nothing else is in its directory. */
async function withFile(
  contents: string | null,
  use: (file: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    if (contents !== null) await writeFile(file, contents);
    await use(file, directory);
    const held = await tryLock(file);
    expect(held).not.toBeNull();
    await held?.release();
    const left = readdirSync(directory).filter((name) => name.startsWith('.holdfast'));
    expect(left).toEqual([]);
  });
}

/** Tells one commit from the next. */
function stateOf(file: string): string {
  const { ino, ctimeNs } = statSync(file, { bigint: true });
  return `${ino} ${ctimeNs}`;
}

type Update = (
  file: string,
  fn: (current: Buffer | null) => Data | undefined,
  options?: Omit<UpdateOptions, 'signal'>,
) => Promise<Buffer | null>;
// eslint-disable-next-line @typescript-eslint/require-await -- What it throws is to be a rejection.
const sync: Update = async (...args) => updateFileSync(...args);
const forms: [string, Update][] = [
  ['updateFile', updateFile],
  ['updateFileSync', sync],
];

describe.each(forms)('%s', (form, update) => {
  test('hands over the current bytes, writes what comes back, and resolves with it', async () => {
    await withFile('old', async (file) => {
      await chmod(file, 0o640);
      const result = await update(file, (current) => `${String(current)} and new`);
      expect(result?.toString()).toBe('old and new');
      expect(readFileSync(file, 'utf8')).toBe('old and new');
      if (has('modes')) expect(statSync(file).mode & 0o777).toBe(0o640);
    });
  });

  test('hands over null when there is no file, and makes one', async () => {
    await withFile(null, async (file, directory) => {
      const seen: unknown[] = [];
      const make = (current: Buffer | null): Uint8Array => {
        seen.push(current);
        return Uint8Array.from([1, 2]);
      };
      expect(await update(file, make, { mode: 0o600 })).toEqual(Buffer.from([1, 2]));
      expect(seen).toEqual([null]);
      expect(readFileSync(file)).toEqual(Buffer.from([1, 2]));
      if (has('modes')) expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(readdirSync(directory).sort()).toEqual(['.file.lock', 'file']);
    });
  });

  test('leaves the file alone when undefined comes back', async () => {
    await withFile('old', async (file) => {
      const before = stateOf(file);
      expect((await update(file, () => undefined))?.toString()).toBe('old');
      expect(stateOf(file)).toBe(before);
    });
    await withFile(null, async (file, directory) => {
      expect(await update(file, () => undefined)).toBeNull();
      expect(readdirSync(directory)).toEqual(['.file.lock']);
    });
  });

  test('hands on what fn throws, and leaves the file alone', async () => {
    await withFile('old', async (file) => {
      const before = stateOf(file);
      const error = new Error('no');
      await expect(
        update(file, () => {
          throw error;
        }),
      ).rejects.toBe(error);
      expect(stateOf(file)).toBe(before);
    });
  });

  test.each([[5], [null], [{}], [['a']]])('refuses %j from fn', async (returned) => {
    await withFile('old', async (file) => {
      await expect(update(file, () => returned as unknown as string)).rejects.toThrow(
        /^what fn returns must be a string, Buffer, /,
      );
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('is stopped by a lock that is lost before the commit', async () => {
    await withFile('old', async (file, directory) => {
      const before = stateOf(file);
      for (const returned of ['new', undefined]) {
        const error: unknown = await update(file, () => {
          rmSync(path.join(directory, '.file.lock'));
          return returned;
        }).catch((reason: unknown) => reason);
        // With nothing to commit the synchronous form has nothing to protect.
        if (returned === 'new' || form === 'updateFile') {
          expect(error).toBeInstanceOf(HoldfastError);
          expect(error).toMatchObject({ code: 'ECOMPROMISED' });
        }
        expect(stateOf(file)).toBe(before);
      }
    });
  });

  test('waits for no longer than timeout, and says who holds the lock', async () => {
    await withFile('old', async (file) => {
      const held = await lock(file, { session: 'mine' });
      let called = 0;
      const fn = (): string => {
        called++;
        return 'new';
      };
      for (const timeout of [0, 50]) {
        const error: unknown = await update(file, fn, { timeout }).catch(
          (reason: unknown) => reason,
        );
        // A synchronous wait for this very thread could never end.
        if (form === 'updateFileSync') {
          expect(error).toMatchObject({ code: timeout === 0 ? 'ETIMEDOUT' : 'EDEADLK' });
        } else {
          expect(error).toBeInstanceOf(HoldfastError);
          expect(error).toMatchObject({
            code: 'ETIMEDOUT',
            holder: { pid: process.pid, session: 'mine', self: true },
          });
        }
      }
      await held.release();
      expect(called).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test.runIf(has('symlinks'))('refuses a link unless it is to be followed', async () => {
    await withFile('old', async (file, directory) => {
      const link = path.join(directory, 'link');
      await symlink('file', link);
      await expect(update(link, () => 'new')).rejects.toMatchObject({ code: 'ELOOP' });
      expect(readFileSync(file, 'utf8')).toBe('old');
      await update(link, () => 'new', { links: 'follow' });
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });

  test('refuses a file longer than maxBytes', async () => {
    await withFile('four', async (file) => {
      await expect(update(file, () => 'new', { maxBytes: 3 })).rejects.toMatchObject({
        code: 'EFBIG',
      });
      await update(file, () => 'new', { maxBytes: 4 });
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });

  test('names wrong options before it locks anything', async () => {
    await withFile('old', async (file, directory) => {
      const attempt = (options: object): Promise<unknown> => update(file, () => 'new', options);
      await expect(attempt({ retries: 3 })).rejects.toThrow(
        new RegExp(`^unknown option 'retries'; ${form} knows .*timeout`),
      );
      for (const name of ['ifMatch', 'lock', 'createOnly']) {
        await expect(attempt({ [name]: true })).rejects.toThrow(`option '${name}'`);
      }
      for (const name of ['shared', 'nested']) {
        await expect(attempt({ [name]: true })).rejects.toThrow(
          `option '${name}' does not apply to ${form}`,
        );
      }
      await expect(attempt({ timeout: -1 })).rejects.toThrow(RangeError);
      await expect(attempt({ mode: '600' })).rejects.toThrow(`option 'mode'`);
      await expect(attempt({ maxBytes: -1 })).rejects.toThrow(`option 'maxBytes'`);
      await expect(attempt({ links: 'replace' })).rejects.toThrow(`option 'links'`);
      await expect(update(file, 'new' as never)).rejects.toThrow(
        `fn of ${form} must be a function`,
      );
      expect(readdirSync(directory)).toEqual(['file']);
    });
  });
});

test('updateFileSync knows no signal, and takes no promise from fn', async () => {
  await withFile('old', (file) => {
    const options = { signal: new AbortController().signal };
    expect(() => updateFileSync(file, () => 'new', options as object)).toThrow(
      "option 'signal' does not apply to updateFileSync",
    );
    expect(() => updateFileSync(file, (() => Promise.resolve('new')) as never)).toThrow(
      /^what fn returns must be/,
    );
    expect(readFileSync(file, 'utf8')).toBe('old');
    return Promise.resolve();
  });
});

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
      expect(results.map(String)).toEqual(['abc', 'abc', 'abc']);
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
          rmSync(path.join(directory, '.file.lock'));
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
});

describe('an abort', () => {
  const reason = new Error('enough');

  test('before the call leaves everything alone', async () => {
    await withFile('old', async (file, directory) => {
      const signal = AbortSignal.abort(reason);
      await expect(updateFile(file, () => 'new', { signal })).rejects.toBe(reason);
      expect(readdirSync(directory)).toEqual(['file']);
    });
  });

  test('ends the wait for the lock', async () => {
    await withFile('old', async (file) => {
      const held = await lock(file);
      const controller = new AbortController();
      let called = 0;
      const update = updateFile(file, () => `${++called}`, { signal: controller.signal });
      const end = await mustBlock(
        update.catch((error: unknown) => error),
        'an update of a locked file',
      );
      controller.abort(reason);
      expect(await end()).toBe(reason);
      await held.release();
      // Nobody waits any more: the lock can be had at once, and the function is not called later.
      const next = await tryLock(file);
      expect(next).not.toBeNull();
      await next?.release();
      await sleep(20);
      expect(called).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('of one of several leaves the others alone', async () => {
    await withFile('', async (file) => {
      const held = await lock(file);
      const controller = new AbortController();
      const append = (letter: string) => (current: Buffer | null) => `${String(current)}${letter}`;
      const updates = [
        updateFile(file, append('a')),
        updateFile(file, append('b'), { signal: controller.signal }),
        updateFile(file, append('c')),
      ];
      const outcomes = Promise.allSettled(updates);
      controller.abort(reason);
      await expect(updates[1]).rejects.toBe(reason);
      await held.release();
      expect((await outcomes).map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      expect(readFileSync(file, 'utf8')).toBe('ac');
    });
  });

  test('while fn runs rejects at once, and its change is dropped', async () => {
    await withFile('old', async (file) => {
      const controller = new AbortController();
      let finish!: () => void;
      const blocked = new Promise<void>((resolve) => (finish = resolve));
      let inside!: () => void;
      const started = new Promise<void>((resolve) => (inside = resolve));
      const update = updateFile(
        file,
        async () => {
          inside();
          await blocked;
          return 'new';
        },
        { signal: controller.signal },
      );
      await started;
      controller.abort(reason);
      await expect(within(update, 'the abort')).rejects.toBe(reason);
      // The lock is kept until fn has ended: it may still be at work on what the lock protects.
      expect(await tryLock(file)).toBeNull();
      finish();
      await (await lock(file)).release();
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('after fn has returned has no effect', async () => {
    await withFile('old', async (file) => {
      const controller = new AbortController();
      const first = updateFile(file, () => 'new', { signal: controller.signal });
      const second = updateFile(file, (current) => {
        controller.abort(reason);
        return `${String(current)} and newer`;
      });
      expect(String(await first)).toBe('new and newer');
      await second;
      expect(readFileSync(file, 'utf8')).toBe('new and newer');
    });
  });
});

describe('the time limit', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('is 30 seconds when none is given', async () => {
    await withFile('old', async (file) => {
      const held = await lock(file);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
      const outcome = updateFile(file, () => 'new').catch((error: unknown) => error);
      let settled = false;
      void outcome.then(() => (settled = true));
      await vi.advanceTimersByTimeAsync(29_900);
      expect(settled).toBe(false);
      await vi.advanceTimersByTimeAsync(200);
      expect(await outcome).toMatchObject({
        code: 'ETIMEDOUT',
        holder: { pid: process.pid, self: true },
      });
      vi.useRealTimers();
      await held.release();
    });
  });

  test('ends an update inside the function of another one of the same file', async () => {
    await withFile('old', async (file) => {
      const inner: unknown[] = [];
      for (const options of [{ timeout: 50 }, { timeout: 60, durability: 'none' as const }]) {
        await within(
          updateFile(
            file,
            async () => {
              inner.push(
                await updateFile(file, () => 'inner', options).catch((error: unknown) => error),
              );
              return 'outer';
            },
            { timeout: 50 },
          ),
          'an update inside an update',
        );
      }
      for (const error of inner) {
        expect(error).toMatchObject({ code: 'ETIMEDOUT', holder: { pid: process.pid } });
      }
      expect(inner).toHaveLength(2);
      expect(readFileSync(file, 'utf8')).toBe('outer');
    });
  });

  test('does not count the time that fn takes', async () => {
    await withFile('old', async (file) => {
      await updateFile(
        file,
        async () => {
          await sleep(100);
          return 'new';
        },
        { timeout: 20 },
      );
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });
});

describe('updateJson', () => {
  test('hands over the value, writes the new one to be read by people, and resolves with it', async () => {
    await withFile('{"n": 1, "ü": [true, null]}', async (file) => {
      const result = await updateJson<{ n: number }>(file, async (value) => {
        await sleep(1);
        return { ...value, n: (value?.n ?? 0) + 1 };
      });
      expect(result).toEqual({ n: 2, ü: [true, null] });
      expect(readFileSync(file, 'utf8')).toBe(
        '{\n  "n": 2,\n  "ü": [\n    true,\n    null\n  ]\n}\n',
      );
    });
  });

  test('hands over null when there is no file', async () => {
    await withFile(null, async (file, directory) => {
      expect(await updateJson(file, (value) => (value === null ? undefined : 1))).toBeNull();
      expect(readdirSync(directory)).toEqual(['.file.lock']);
      expect(await updateJson(file, (value) => [value])).toEqual([null]);
      expect(readFileSync(file, 'utf8')).toBe('[\n  null\n]\n');
    });
  });

  test('leaves the file alone when undefined comes back', async () => {
    await withFile('[1]', async (file) => {
      const before = stateOf(file);
      expect(await updateJson(file, () => undefined)).toEqual([1]);
      expect(stateOf(file)).toBe(before);
    });
  });

  test.each(['', '{"a":', 'text', '{} {}'])(
    'a file that holds %j is ECORRUPT, and left alone',
    async (contents) => {
      await withFile(contents, async (file) => {
        const before = stateOf(file);
        let called = false;
        const error: unknown = await updateJson(file, () => {
          called = true;
          return 1;
        }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(HoldfastError);
        expect(error).toMatchObject({
          code: 'ECORRUPT',
          path: file,
          cause: expect.any(SyntaxError) as SyntaxError,
        });
        expect(called).toBe(false);
        expect(stateOf(file)).toBe(before);
      });
    },
  );

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('no')],
  ])('%s, which JSON has no text for, is refused', async (_name, value) => {
    await withFile('[1]', async (file) => {
      await expect(updateJson(file, () => value as never)).rejects.toThrow(TypeError);
      expect(readFileSync(file, 'utf8')).toBe('[1]');
    });
  });

  test('of several at once none is lost, and one on what cannot be written fails alone', async () => {
    await withFile(null, async (file) => {
      const addOne = (value: { n: number } | null) => ({ n: (value?.n ?? 0) + 1 });
      const circular: { self?: unknown } = {};
      circular.self = circular;
      const outcomes = await Promise.allSettled([
        updateJson(file, addOne),
        updateJson(file, () => circular as never),
        updateJson(file, addOne),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ n: 2 });
    });
  });
});
