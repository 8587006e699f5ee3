import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { HoldfastError, readRegularFile, readRegularFileSync, replaceFile } from 'holdfast';
import type { FileContents, ReadOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { contentsOf, numberOf } from './fixtures/numbered-contents.cjs';
import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { run, withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { descriptorCount } from './helpers/process-figures.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';

type Read = (file: string | URL, options?: ReadOptions) => Promise<FileContents | null>;
// eslint-disable-next-line @typescript-eslint/require-await -- What it throws is to be a rejection.
const sync: Read = async (...args) => readRegularFileSync(...args);
const forms: [string, Read][] = [
  ['readRegularFile', readRegularFile],
  ['readRegularFileSync', sync],
];

async function withFile(use: (file: string, directory: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, 'contents');
    await use(file, directory);
  });
}

async function expectRefusal(reading: Promise<unknown>, code: string): Promise<void> {
  const error: unknown = await within(
    reading.catch((reason: unknown) => reason),
    'a refusal',
  );
  expect(error).toBeInstanceOf(HoldfastError);
  expect(error).toMatchObject({ code, refused: true });
}

describe.each(forms)('%s', (form, read) => {
  test('reads a whole file, of any size, and changes nothing', async () => {
    await withTemporaryDirectory(async (directory) => {
      for (const size of [0, 1, 4096, 65_536, 3_000_000]) {
        const file = path.join(directory, `${size}`);
        const contents = Buffer.alloc(size, 'x\0ü');
        writeFileSync(file, contents);
        const expectUntouched = await watchUntouched(directory);
        const first = await read(file);
        expect(first?.contents.equals(contents)).toBe(true);
        expect((await read(pathToFileURL(file)))?.identity).toBe(first?.identity);
        await expectUntouched();
      }
    });
  });

  test('returns null when the file or its directory is absent', async () => {
    await withFile(async (file) => {
      expect(await read(`${file}2`)).toBeNull();
      expect(await read(path.join(`${file}2`, 'x'))).toBeNull();
      expect(await read(path.join(`${file}2`, 'y', 'x'))).toBeNull();
      await expect(read(path.join(file, 'x'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    });
  });

  test.runIf(has('symlinks'))(
    'refuses a link, wherever it leads, unless it is to be followed',
    async () => {
      await withFile(async (file, directory) => {
        const link = path.join(directory, 'link');
        const dangling = path.join(directory, 'dangling');
        await symlink('file', link);
        await symlink('absent', dangling);
        await expectRefusal(read(link), 'ELOOP');
        await expectRefusal(read(dangling), 'ELOOP');
        const followed = await read(link, { links: 'follow' });
        expect(followed?.contents.toString()).toBe('contents');
        expect(followed?.identity).toBe((await read(file))?.identity);
        expect(await read(dangling, { links: 'follow' })).toBeNull();
      });
    },
  );

  test.runIf(has('symlinks'))(
    'refuses links among the directories on the way if it is told to',
    async () => {
      await withFile(async (_file, directory) => {
        await mkdir(path.join(directory, 'real'));
        await symlink('real', path.join(directory, 'link'));
        await writeFile(path.join(directory, 'real', 'file'), 'deep');
        const deep = path.join(directory, 'link', 'file');
        expect((await read(deep))?.contents.toString()).toBe('deep');
        await expectRefusal(read(deep, { parents: 'refuse-links' }), 'ELOOP');
      });
    },
  );

  test('refuses a directory', async () => {
    await withFile(async (_file, directory) => {
      await expectRefusal(read(directory), 'EINVAL');
    });
  });

  test.runIf(has('fifos'))('refuses a FIFO, without waiting for a writer', async () => {
    await withFile(async (_file, directory) => {
      const fifo = path.join(directory, 'fifo');
      expect(await run('mkfifo', [fifo])).toMatchObject({ code: 0, signal: null });
      await expectRefusal(read(fifo), 'EINVAL');
    });
  });

  test.runIf(has('mknod'))('refuses a device', async () => {
    await withFile(async (_file, directory) => {
      const device = path.join(directory, 'zero');
      expect(await run('mknod', [device, 'c', '1', '5'])).toMatchObject({ code: 0, signal: null });
      await expectRefusal(read(device), 'EINVAL');
      await expectRefusal(read('/dev/null'), 'EINVAL');
    });
  });

  test('reads a file with several names', async () => {
    await withFile(async (file) => {
      linkSync(file, `${file}2`);
      expect((await read(`${file}2`))?.contents.toString()).toBe('contents');
    });
  });

  test('EFBIG is a file longer than maxBytes, which is 64 MiB unless given', async () => {
    await withFile(async (file) => {
      expect((await read(file, { maxBytes: 8 }))?.contents.toString()).toBe('contents');
      await expect(read(file, { maxBytes: 7 })).rejects.toMatchObject({
        code: 'EFBIG',
        path: file,
      });
      await expect(read(file, { maxBytes: 0 })).rejects.toMatchObject({ code: 'EFBIG' });
      await truncate(file, 64 << 20);
      expect((await read(file))?.contents.length).toBe(64 << 20);
      await truncate(file, (64 << 20) + 1);
      await expect(read(file)).rejects.toMatchObject({ code: 'EFBIG' });
      // Far more than there is memory: refused by its size, before anything is read.
      await truncate(file, 2 ** 42);
      await expect(read(file)).rejects.toMatchObject({ code: 'EFBIG' });
    });
  });

  test('the identity is that of the contents: another one after every change', async () => {
    await withFile(async (file) => {
      const seen = new Set<string | undefined>();
      seen.add((await read(file))?.identity);
      await writeFile(file, 'CONTENTS');
      seen.add((await read(file))?.identity);
      const renamed = await replaceFile(file, 'contents');
      expect((await read(file))?.identity).toBe(renamed.identity);
      seen.add(renamed.identity);
      const copied = await replaceFile(file, 'CONTENTS', { copyFallback: 'always' });
      expect((await read(file))?.identity).toBe(copied.identity);
      seen.add(copied.identity);
      expect(seen.size).toBe(4);
    });
  });

  test.runIf(has('proc'))('leaves no descriptor open, whatever comes of it', async () => {
    await withFile(async (file, directory) => {
      mkdirSync(path.join(directory, 'directory'));
      const before = descriptorCount();
      for (let round = 0; round < 20; round++) {
        await read(file);
        await read(`${file}2`);
        await read(path.join(directory, 'directory')).catch(() => undefined);
        await read(file, { maxBytes: 1 }).catch(() => undefined);
      }
      expect(descriptorCount()).toBe(before);
    });
  });

  test('wrong arguments are named', async () => {
    await withFile(async (file) => {
      const attempt = (options: object): Promise<unknown> => read(file, options);
      await expect(read('')).rejects.toThrow(/^path must/);
      await expect(read(5 as never)).rejects.toThrow(/^path must/);
      await expect(attempt({ encoding: 'utf8' })).rejects.toThrow(
        `unknown option 'encoding'; ${form} knows maxBytes`,
      );
      for (const maxBytes of [-1, 1.5, NaN, Infinity, '5', null]) {
        await expect(attempt({ maxBytes })).rejects.toThrow(/^option 'maxBytes' must be/);
      }
      await expect(attempt({ links: 'replace' })).rejects.toThrow(/^option 'links' must be/);
    });
  });
});

test.runIf(has('ordinaryUser'))('a file that may not be read is EACCES', async () => {
  await withTemporaryDirectory(
    async (directory) => {
      const file = path.join(directory, 'file');
      await writeFile(file, 'secret');
      await chmod(file, 0o600);
      await withLockAgents(async (agents) => {
        const other = await agents.process(ordinaryUser);
        await expect(other.readRegularFile(file)).rejects.toMatchObject({
          code: 'EACCES',
          path: file,
        });
      });
    },
    { mode: 0o755 },
  );
});

test.each(['always', 'never'] as const)(
  "is never torn while another process replaces the file with copyFallback: '%s'",
  async (copyFallback) => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, contentsOf(0, 100));
      await withChildren(async (children) => {
        const options = JSON.stringify({ copyFallback, durability: 'none' });
        const writer = children.spawnNode([
          'test/fixtures/replace-endlessly.cjs',
          ...[file, '1', options, 'sync'],
        ]);
        await writer.waitForOutput(/ready/);
        let last = 0;
        const seen = new Set<number>();
        const count = atScale(3000, 150);
        for (let reading = 0; reading < count || seen.size < 20; reading++) {
          const found = reading % 2 === 0 ? await readRegularFile(file) : readRegularFileSync(file);
          const number = numberOf(found?.contents ?? Buffer.alloc(0));
          expect(number).toBeDefined();
          // Nor does time run backwards.
          expect(number).toBeGreaterThanOrEqual(last);
          last = number ?? 0;
          seen.add(last);
        }
        writer.kill('SIGKILL');
        expect(await writer.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
        expect(seen.size).toBeGreaterThan(1);
        printFigure(
          `copyFallback '${copyFallback}': ${count} readings, ${seen.size} states, up to the ${last}th, none torn`,
        );
        const found = await readRegularFile(file);
        expect(numberOf(found?.contents ?? Buffer.alloc(0))).toBeGreaterThanOrEqual(last);
        expect(readdirSync(directory).filter((name) => name.endsWith('.undo'))).toEqual([]);
      });
    });
  },
  limitAtScale(30_000),
);
