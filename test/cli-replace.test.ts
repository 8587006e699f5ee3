import { chmod, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { ChildExit, ChildOptions } from './helpers/child.js';
import { commandFile, hasTerminal, onTerminal } from './helpers/command-line.js';
import { fill, withSmallTmpfs } from './helpers/mounts.js';
import { mustBlock } from './helpers/must-block.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { residentMemory } from './helpers/process-figures.js';
import { printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Outcome = ChildExit & { stdout: string; stderr: string };

const succeeded: Outcome = { code: 0, signal: null, stdout: '', stderr: '' };

/** Runs `holdfast replace` with this on its standard input. */
async function replace(
  args: readonly string[],
  input: string | Buffer,
  options: ChildOptions = {},
): Promise<Outcome> {
  return withChildren(async (children) => {
    const child = children.spawnNode([commandFile, 'replace', ...args], options);
    child.process.stdin?.end(input);
    const exit = await child.waitForExit();
    return { ...exit, stdout: child.stdout, stderr: child.stderr };
  });
}

async function withFile(
  use: (file: string, directory: string) => Promise<void>,
  contents = 'old contents\n',
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, contents, { mode: 0o640 });
    await chmod(file, 0o640);
    await use(file, directory);
  });
}

describe('standard input becomes the contents, and nothing is printed', () => {
  test.each([
    ['text', 'new contents\n'],
    ['nothing at all', ''],
    ['any bytes', Buffer.from([0, 255, 128, 10, 0])],
  ])('%s', async (_name, input) => {
    await withFile(async (file, directory) => {
      expect(await replace([file], input)).toEqual(succeeded);
      expect(await readFile(file)).toEqual(Buffer.from(input));
      if (has('modes')) expect((await stat(file)).mode & 0o7777).toBe(0o640);
      expect(await readdir(directory)).toEqual(['file']);
    });
  });

  test('a file that is new', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, '-f');
      expect(await replace(['--', '-f'], 'new', { cwd: directory })).toEqual(succeeded);
      expect(await readFile(file, 'utf8')).toBe('new');
    });
  });

  test.runIf(has('modes')).each([
    ['600', 0o600],
    ['0644', 0o644],
    ['4755', 0o4755],
    ['0', 0],
  ])('--mode %s is exact', async (text, mode) => {
    await withFile(async (file) => {
      expect(await replace(['--mode', text, file], 'new')).toEqual(succeeded);
      expect((await stat(file)).mode & 0o7777).toBe(mode);
    });
  });

  test.runIf(has('strace')).each([
    ['none', /^0 0$/],
    ['ordered', /^0 1$/],
    ['full', /^[1-9] \d$/],
  ])('--durability %s is what reaches the disk', async (durability, expected) => {
    await withFile(async (file, directory) => {
      const log = path.join(directory, 'log');
      const prefix = ['strace', '-f', '-o', log, '-e', 'trace=fsync,fdatasync'];
      expect(await replace(['--durability', durability, file], 'new', { prefix })).toEqual(
        succeeded,
      );
      const calls = await readFile(log, 'utf8');
      const count = (name: string) => calls.split(`${name}(`).length - 1;
      expect(`${count(' fsync')} ${count(' fdatasync')}`).toMatch(expected);
    });
  });

  test.runIf(has('proc'))('more than fits into memory at once is streamed', async () => {
    await withFile(async (file) => {
      await withChildren(async (children) => {
        const child = children.spawnNode([commandFile, 'replace', file]);
        const piece = Buffer.alloc(1 << 20, 'x');
        const write = (): Promise<unknown> =>
          new Promise((resolve) => child.process.stdin?.write(piece, resolve));
        await write();
        const before = residentMemory(child.pid);
        for (let written = 1; written < 256; written++) await write();
        const growth = residentMemory(child.pid) - before;
        printFigure(`256 MiB from standard input: ${Math.round(growth / 1e6)} MB more memory`);
        expect(growth).toBeLessThan(128e6);
        expect(await readFile(file, 'utf8')).toBe('old contents\n');
        child.process.stdin?.end();
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect((await stat(file)).size).toBe(256 << 20);
      });
    });
  });
});

test.runIf(hasTerminal)(
  'on a terminal it says how much has come, and takes that away in the end',
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const file = path.join(directory, 'file');
        const [command, args] = onTerminal(['replace', file]);
        const child = children.spawn(command, args, { env: { TERM: 'xterm' } });
        child.process.stdin?.write('new\n');
        await child.waitForOutput(/4 bytes so far/);
        const endOfTransmission = '\u0004';
        child.process.stdin?.write(endOfTransmission);
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect(child.stdout.endsWith('\r\u001b[2K')).toBe(true);
        expect(await readFile(file, 'utf8')).toBe('new\n');
      }),
    ),
);

describe('what is not done is one line on stderr, and the file is as it was', () => {
  test('--create-only gives up with 1 when the file exists', async () => {
    await withFile(async (file, directory) => {
      const result = await replace(['--create-only', file], 'new');
      expect(result).toMatchObject({ code: 1, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast replace: EEXIST: .*\n$/);
      expect(await readFile(file, 'utf8')).toBe('old contents\n');
      expect(await replace(['--create-only', `${file}2`], 'new')).toEqual(succeeded);
      expect(await readFile(`${file}2`, 'utf8')).toBe('new');
      expect((await readdir(directory)).sort()).toEqual(['file', 'file2']);
    });
  });

  test.runIf(has('symlinks'))('a link is refused with 77, and says what to do', async () => {
    await withFile(async (file, directory) => {
      await symlink('file', path.join(directory, 'link'));
      const result = await replace([path.join(directory, 'link')], 'new');
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(
        /^holdfast replace: ELOOP: .* Name what the link leads to\.\n$/,
      );
      expect(await readFile(file, 'utf8')).toBe('old contents\n');
    });
  });

  test('a file with another name is refused with 77', async () => {
    await withFile(async (file) => {
      await link(file, `${file}2`);
      const result = await replace([file], 'new');
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast replace: EMLINK: .*\n$/);
      expect(await readFile(file, 'utf8')).toBe('old contents\n');
    });
  });

  test('a directory is refused with 77', async () => {
    await withTemporaryDirectory(async (directory) => {
      const result = await replace([directory], 'new');
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast replace: EISDIR: .*\n$/);
    });
  });

  test('a missing directory ends with 71', async () => {
    await withTemporaryDirectory(async (directory) => {
      const result = await replace([path.join(directory, 'absent', 'file')], 'new');
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(
        /^holdfast replace: ENOENT: .* The directory must exist; the file need not\.\n$/,
      );
    });
  });

  test.runIf(has('mountTmpfs'))('a full disk ends with 71, and with what to do', () =>
    withSmallTmpfs(async (root) => {
      await fill(root);
      const result = await replace([path.join(root, 'file')], 'new');
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast replace: ENOSPC: .* is full: make room\.\n$/);
    }),
  );

  test.runIf(has('ordinaryUser'))(
    'a directory that may not be written ends with 71, and speaks of no lock',
    async () => {
      await withTemporaryDirectory(
        async (directory) => {
          const result = await replace([path.join(directory, 'file')], 'new', ordinaryUser);
          expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
          expect(result.stderr).toMatch(
            /^holdfast replace: EACCES: .* write in its directory\.\n$/,
          );
          expect(result.stderr).not.toContain('lock');
          expect(await readdir(directory)).toEqual([]);
        },
        { mode: 0o755 },
      );
    },
  );

  test.runIf(has('posixShell'))('standard input that cannot be read ends with 71', async () => {
    await withFile(async (file, directory) => {
      await mkdir(path.join(directory, 'input'));
      await withChildren(async (children) => {
        const script = '"$0" "$1" replace "$2" < "$3"';
        const words = [process.execPath, commandFile, file, path.join(directory, 'input')];
        const child = children.spawn('sh', ['-c', script, ...words]);
        expect(await child.waitForExit()).toEqual({ code: 71, signal: null });
        expect(child.stderr).toMatch(/^holdfast replace: EISDIR: .*\n$/);
        expect(child.stdout).toBe('');
      });
      expect(await readFile(file, 'utf8')).toBe('old contents\n');
    });
  });

  test.runIf(has('signals')).each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s while input is still to come ends it', async (signal, code) => {
    await withFile(async (file, directory) => {
      await withChildren(async (children) => {
        const child = children.spawnNode([commandFile, 'replace', file]);
        // A pipe holds 64 KiB: what is written in full beyond that has been read, so the command is at work.
        await new Promise((resolve) => child.process.stdin?.write(Buffer.alloc(1 << 20), resolve));
        const end = await mustBlock(child.waitForExit(), 'a replace whose input goes on');
        child.kill(signal);
        expect(await end()).toEqual({ code, signal: null });
        expect(child.stderr).toBe(`holdfast replace: ended by ${signal}\n`);
      });
      expect(await readFile(file, 'utf8')).toBe('old contents\n');
      expect(await readdir(directory)).toEqual(['file']);
    });
  });
});
