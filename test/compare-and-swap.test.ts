import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lock, replaceFile, withLock } from 'holdfast';
import type { ExpectedFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import {
  expectConflict,
  forms,
  identityOf,
  old,
  sha256,
  withFile,
} from './helpers/expected-file.js';

describe.each(forms)('ifMatch of %s', (_form, replace) => {
  describe.each(['never', 'always'] as const)("copyFallback: '%s'", (copyFallback) => {
    test('replaces the file that was read, and tells the identity of the new one', async () => {
      await withFile(async (file) => {
        const identity = await identityOf(file);
        const first = await replace(file, '1', { ifMatch: { identity }, copyFallback });
        expect(first.identity).toBe(await identityOf(file));
        expect(first.identity).not.toBe(identity);
        await expectConflict(
          file,
          (async () => replace(file, '2', { ifMatch: { identity }, copyFallback }))(),
        );
        expect(readFileSync(file, 'utf8')).toBe('1');
        await replace(file, '2', { ifMatch: { identity: first.identity }, copyFallback });
        expect(readFileSync(file, 'utf8')).toBe('2');
      });
    });

    test('sees a change of the same length in the file itself', async () => {
      await withFile(async (file) => {
        const identity = await identityOf(file);
        await writeFile(file, old.toUpperCase());
        await expectConflict(
          file,
          (async () => replace(file, 'new', { ifMatch: { identity }, copyFallback }))(),
        );
        expect(readFileSync(file, 'utf8')).toBe(old.toUpperCase());
      });
    });

    test('compares contents by their hash', async () => {
      await withFile(async (file) => {
        await expectConflict(
          file,
          (async () => replace(file, 'x', { ifMatch: { sha256: sha256('x') }, copyFallback }))(),
        );
        expect(readFileSync(file, 'utf8')).toBe(old);
        await replace(file, 'new', { ifMatch: { sha256: sha256(old) }, copyFallback });
        expect(readFileSync(file, 'utf8')).toBe('new');
      });
    });

    test('null is an absent file', async () => {
      await withFile(async (file) => {
        await expectConflict(
          file,
          (async () => replace(file, 'new', { ifMatch: null, copyFallback }))(),
        );
        expect(readFileSync(file, 'utf8')).toBe(old);
        await rm(file);
        await replace(file, 'new', { ifMatch: null, copyFallback });
        expect(readFileSync(file, 'utf8')).toBe('new');
      });
    });

    test.each<[string, ExpectedFile]>([
      ['an identity', { identity: '1:2:3' }],
      ['a hash', { sha256: sha256(old) }],
    ])('%s is never that of an absent file', async (_name, ifMatch) => {
      await withTemporaryDirectory(async (directory) => {
        const file = path.join(directory, 'file');
        await expectConflict(file, (async () => replace(file, 'new', { ifMatch, copyFallback }))());
        expect(await readdir(directory)).toEqual(['.file.lock']);
      });
    });
  });

  test.runIf(has('symlinks'))(
    'follows a link where it may, and compares what it leads to',
    async () => {
      await withFile(async (file, directory) => {
        const link = path.join(directory, 'link');
        await symlink('file', link);
        const ifMatch = { sha256: sha256(old) };
        await expect((async () => replace(link, 'new', { ifMatch }))()).rejects.toMatchObject({
          code: 'ELOOP',
        });
        await replace(link, 'new', { ifMatch, links: 'follow' });
        expect(readFileSync(file, 'utf8')).toBe('new');
      });
    },
  );

  test('works under a lock that the caller has given', async () => {
    await withFile(async (file) => {
      const held = await lock(file);
      try {
        const options = { ifMatch: { sha256: sha256(old) }, lock: held };
        await within(Promise.resolve(replace(file, 'new', options)), 'a swap under our lock');
        expect(readFileSync(file, 'utf8')).toBe('new');
        await expectConflict(file, (async () => replace(file, 'newer', options))());
        expect(held.held).toBe(true);
      } finally {
        await held.release();
      }
    });
  });

  test('inside withLock, without that lock, fails at once instead of waiting for itself', async () => {
    await withFile(async (file) => {
      await withLock(file, async () => {
        await expect(
          within(
            (async () => replace(file, 'new', { ifMatch: { sha256: sha256(old) } }))(),
            'a swap inside withLock',
          ),
        ).rejects.toMatchObject({ code: 'EDEADLK' });
      });
      expect(readFileSync(file, 'utf8')).toBe(old);
    });
  });

  test.each([
    ['a string', 'abc'],
    ['a number', 5],
    ['an empty object', {}],
    ['a hash of the wrong length', { sha256: 'abc' }],
    ['an identity that is no string', { identity: 5 }],
  ])('%s is refused as misuse', async (_name, ifMatch) => {
    await withFile(async (file) => {
      await expect(
        (async () => replace(file, 'new', { ifMatch: ifMatch as unknown as ExpectedFile }))(),
      ).rejects.toThrow(/^option 'ifMatch' must be/);
      expect(readFileSync(file, 'utf8')).toBe(old);
    });
  });
});

test('ifMatch does not touch a file that somebody changes while the new contents are written', async () => {
  await withFile(async (file) => {
    const identity = await identityOf(file);
    async function* interfering(): AsyncGenerator<string> {
      yield 'mine';
      // Somebody who knows nothing of holdfast's locks.
      await writeFile(file, 'theirs');
    }
    await expectConflict(file, replaceFile(file, interfering(), { ifMatch: { identity } }));
    expect(readFileSync(file, 'utf8')).toBe('theirs');
  });
});

test.each(['identity', 'sha256'])(
  'two processes that swap by %s and try again lose nothing',
  async (compared) => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file');
      const count = atScale(500, 100);
      const conflicts = await withChildren(async (children) => {
        const swappers = ['a', 'b'].map((name) =>
          children.fork('swap.mjs', { args: [file, name, `${count}`, compared] }),
        );
        await Promise.all(swappers.map((child) => child.waitForMessage('ready')));
        for (const child of swappers) child.send('go');
        const done = await Promise.all(
          swappers.map((child) => child.waitForMessage('done', limitAtScale(60_000))),
        );
        for (const child of swappers) {
          expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        }
        return done.map((message) => Number(message.conflicts));
      });
      const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
      for (const name of ['a', 'b']) {
        expect(lines.filter((line) => line.startsWith(name))).toEqual(
          Array.from({ length: count }, (_, number) => `${name} ${number}`),
        );
      }
      expect(lines).toHaveLength(2 * count);
      printFigure(`2 x ${count} swaps by ${compared}: ${conflicts.join(' and ')} conflicts`);
      expect(Math.max(...conflicts)).toBeGreaterThan(0);
      expect((await readdir(directory)).sort()).toEqual(['.file.lock', 'file']);
    });
  },
  limitAtScale(60_000),
);
