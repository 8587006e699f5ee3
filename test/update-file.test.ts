import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, symlink } from 'node:fs/promises';
import path from 'node:path';

import { HoldfastError, lock, updateFileSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { takeAway } from './helpers/taken-away.js';
import { stateOf, updateForms, withFile } from './helpers/updated-file.js';

describe.each(updateForms)('%s', (form, update) => {
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
          takeAway(path.join(directory, '.file.lock'));
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
      await expect(attempt({ shared: true })).rejects.toThrow(
        `option 'shared' does not apply to ${form}`,
      );
      await expect(attempt({ nested: true })).rejects.toThrow(`option 'nested'`);
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
