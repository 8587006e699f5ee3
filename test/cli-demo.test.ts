import { chmod, link, lstat, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { patience } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, hasTerminal, holdfast, onTerminal } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import { temporaryFilesIn, withTemporaryDirectory } from './helpers/temporary-directory.js';

const small = ['--processes', '4', '--rounds', '25'];

/** The value of a row of the table. */
function row(stdout: string, name: string): string | undefined {
  return new RegExp(`^ {2}${name} +(.*?)\r?$`, 'm').exec(stdout)?.[1];
}

function count(stdout: string, name: string): number {
  return Number(row(stdout, name)?.replaceAll(',', ''));
}

describe('with the lock', () => {
  test('nothing is lost or torn, the dead process is replaced, and nothing is left behind', async () => {
    await withTemporaryDirectory(async (directory) => {
      const result = await holdfast(['demo', ...small], { env: temporaryFilesIn(directory) });
      expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
      expect(count(result.stdout, 'increments acknowledged')).toBe(100);
      expect(count(result.stdout, 'increments found')).toBe(100);
      expect(count(result.stdout, 'lost updates')).toBe(0);
      expect(row(result.stdout, 'torn reads')).toMatch(/^0 of [1-9]/);
      expect(row(result.stdout, 'longest wait')).toMatch(/^[\d.]+ m?s$/);

      const [, dead] =
        /pid (\d+) holds the lock .* killing it with SIGKILL/.exec(result.stdout) ?? [];
      expect(row(result.stdout, 'take-over from the dead')).toMatch(
        new RegExp(
          `^[\\d.]+ m?s: pid \\d+ got the lock, and was told that ${dead} had died inside$`,
        ),
      );
      expect(result.stdout).toContain('Nothing was lost');
      expect(await readdir(directory)).toEqual([]);
    });
  });

  test('a given file keeps its other fields and its mode, and the demo counts on in it', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'settings.json');
      const fields = { name: 'ü', __proto__: 1, list: [1, { a: null }], big: 9007199254740991 };
      await writeFile(file, JSON.stringify(fields));
      await chmod(file, 0o640);
      for (const expected of [100, 200]) {
        const result = await holdfast(['demo', file, ...small]);
        expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
        expect(result.stdout).toContain(file);
        expect(row(result.stdout, 'other fields')).toBe('unchanged');
        expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
          ...fields,
          holdfastDemoCounter: expected,
        });
      }
      if (has('modes')) expect((await stat(file)).mode & 0o777).toBe(0o640);
      expect((await readdir(directory)).sort()).toEqual(['.settings.json.lock', 'settings.json']);
    });
  });

  test.runIf(has('symlinks'))('a given link is followed and stays a link', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'settings.json');
      const link = path.join(directory, 'link.json');
      await writeFile(file, '{}');
      await symlink(file, link);
      const result = await holdfast(['demo', link, '--processes', '2', '--rounds', '3']);
      expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
      expect((await lstat(link)).isSymbolicLink()).toBe(true);
      expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ holdfastDemoCounter: 6 });
    });
  });
});

test('a file that somebody else has locked is waited for, and not touched before', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'settings.json');
    await writeFile(file, '{}');
    const held = await lock(file);
    await withChildren(async (children) => {
      const args = ['demo', file, '--processes', '2', '--rounds', '3'];
      const child = children.spawnNode([commandFile, ...args]);
      // The reason for the wait is the first line that comes.
      await child.waitForOutput(
        new RegExp(`still waiting for .*, held by pid ${process.pid} on .* since`),
      );
      const end = await mustBlock(child.waitForExit(), 'holdfast demo on a locked file');
      expect(await readFile(file, 'utf8')).toBe('{}');
      await held.release();
      expect(await end()).toEqual({ code: 0, signal: null });
    });
  });
});

describe('without the lock', () => {
  test('updates are lost, the exit code is 1, and the demo says that this is the point', async () => {
    await withTemporaryDirectory(async (directory) => {
      const args = ['demo', '--without-lock', ...small];
      const result = await holdfast(args, { env: temporaryFilesIn(directory) });
      expect(result).toMatchObject({ code: 1, signal: null, stderr: '' });
      expect(count(result.stdout, 'increments acknowledged')).toBe(100);
      expect(count(result.stdout, 'lost updates')).toBeGreaterThan(0);
      expect(count(result.stdout, 'increments found')).toBe(
        100 - count(result.stdout, 'lost updates'),
      );
      expect(result.stdout).toContain('That is the point');
      expect(await readdir(directory)).toEqual([]);
    });
  });
});

describe('a file that cannot be used is left alone', () => {
  test.each([
    ['{"a":', 'it is not JSON'],
    ['', 'it is not JSON'],
    ['[1]', 'not an object'],
    ['null', 'not an object'],
    ['{"holdfastDemoCounter": "3"}', 'is no whole number'],
    ['{"id": 12345678901234567890}', 'cannot keep the number 12345678901234567890'],
  ])('%j', async (text, message) => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file.json');
      await writeFile(file, text);
      const result = await holdfast(['demo', file]);
      expect(result).toMatchObject({ code: 65, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast demo: .* cannot be used: .*\n$/);
      expect(result.stderr).toContain(message);
      expect(await readFile(file, 'utf8')).toBe(text);
      expect(await readdir(directory)).toEqual(['file.json']);
    });
  });

  test('numbers in strings do not matter', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file.json');
      await writeFile(file, '{"id": "12345678901234567890", "x\\"9": -1.5e300}');
      const result = await holdfast(['demo', file, '--processes', '2', '--rounds', '1']);
      expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    });
  });

  test('one that does not exist is named', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'absent.json');
      const result = await holdfast(['demo', file]);
      expect(result).toMatchObject({ code: 65, signal: null, stdout: '' });
      expect(result.stderr).toBe(`holdfast demo: ${file} cannot be used: there is no such file\n`);
    });
  });
});

test('a file with another name is refused, and both are left alone', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file.json');
    await writeFile(file, '{}');
    await link(file, path.join(directory, 'other.json'));
    const result = await holdfast(['demo', file, '--processes', '2', '--rounds', '1']);
    expect(result).toMatchObject({ code: 77, signal: null });
    expect(result.stderr).toMatch(/^holdfast demo: EMLINK: .*\n$/);
    expect(await readFile(path.join(directory, 'other.json'), 'utf8')).toBe('{}');
  });
});

describe('what it prints', () => {
  test('where there is no terminal: plain lines, about one a second, and no control characters', async () => {
    // Where a reader keeps a file from being replaced, there are fewer of them to a second.
    const rounds = has('renameOverOpenFiles') ? '600' : '100';
    const result = await holdfast(['demo', '--processes', '2', '--rounds', rounds]);
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(result.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    const progress = result.stdout.match(/^\[[#.]+\] [\d,]+ of (?:1,)?200 increments, .*$/gm) ?? [];
    const [, amount = '', unit] = /elapsed +([\d.]+) (m?s)/.exec(result.stdout) ?? [];
    const seconds = unit === 's' ? Number(amount) : 0;
    expect(progress.length).toBeLessThanOrEqual(seconds);
    expect(progress.length).toBeGreaterThanOrEqual(Math.min(1, Math.floor(seconds / 2)));
  });

  const green = '\u001b[32m';

  test.runIf(hasTerminal)('on a terminal: one line that is redrawn, and colours', async () => {
    await withChildren(async (children) => {
      const [command, args] = onTerminal(['demo', ...small]);
      const child = children.spawn(command, args, { env: { TERM: 'xterm', NO_COLOR: undefined } });
      expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
      expect(child.stdout).toContain('\r\u001b[2K[#');
      expect(child.stdout).toMatch(/K\[#[#.]*\] \d+ of 100 increments/);
      expect(child.stdout).toContain(`${green}0`);
    });
  });

  test.runIf(hasTerminal).each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])(
    'no colours on a terminal with %j',
    async (env) => {
      await withChildren(async (children) => {
        const [command, args] = onTerminal(['demo', ...small]);
        const child = children.spawn(command, args, { env: { TERM: 'xterm', ...env } });
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect(count(child.stdout, 'lost updates')).toBe(0);
        expect(child.stdout).not.toContain(green);
      });
    },
  );
});

describe('an end in the middle', () => {
  test.runIf(has('signals', 'processGroups')).each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'by %s leaves no process and no file behind',
    async (signal) => {
      await withTemporaryDirectory(async (directory) => {
        await withChildren(async (children) => {
          const args = [commandFile, 'demo', '--rounds', '100000'];
          const child = children.spawnNode(args, { env: temporaryFilesIn(directory) });
          await child.waitForOutput(/increments, /);
          child.kill(signal);
          const { code } = await child.waitForExit();
          expect(code).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]);
          expect(child.stderr).toBe(`holdfast demo: ended by ${signal}\n`);
          expect(groupIsEmpty(child.pid)).toBe(true);
          expect(await readdir(directory)).toEqual([]);
        });
      });
    },
  );

  test.runIf(has('processGroups'))('by SIGKILL leaves no process behind', async () => {
    await withTemporaryDirectory(async (directory) => {
      await withChildren(async (children) => {
        const args = [commandFile, 'demo', '--rounds', '100000'];
        const child = children.spawnNode(args, { env: temporaryFilesIn(directory) });
        await child.waitForOutput(/increments, /);
        child.kill('SIGKILL');
        const deadline = Date.now() + patience;
        while (!groupIsEmpty(child.pid)) {
          expect(Date.now()).toBeLessThan(deadline);
          await sleep(20);
        }
      });
    });
  });
});

/** Whether nothing that `leader` started runs any more. It leads a process group of its own. */
function groupIsEmpty(leader: number): boolean {
  try {
    process.kill(-leader, 0);
    return false;
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ESRCH');
    return true;
  }
}
