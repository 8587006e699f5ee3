import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';

import { inspectLock, lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import { isFree, node, startHolding, withTarget } from './helpers/holding-run.js';
import { takeAway } from './helpers/taken-away.js';

describe('the exit code', () => {
  test.each([0, 1, 3, 255])('is that of the command: %d', async (code) => {
    await withTarget(async (target) => {
      const result = await holdfast(['run', target, '--', node, '-e', `process.exit(${code})`]);
      expect(result).toEqual({ code, signal: null, stdout: '', stderr: '' });
    });
  });

  test.runIf(has('signals')).each(['SIGTERM', 'SIGKILL', 'SIGINT'] as const)(
    'is 128 and the number of the signal that ended the command: %s',
    async (signal) => {
      await withTarget(async (target) => {
        const kill = `process.kill(process.pid, '${signal}'); setInterval(() => {}, 1000)`;
        const result = await holdfast(['run', target, '--', node, '-e', kill]);
        expect(result).toMatchObject({ code: 128 + constants.signals[signal], signal: null });
        expect(await isFree(target)).toBe(true);
      });
    },
  );

  test('is 127 when there is no such command, and the lock is free again', async () => {
    await withTarget(async (target, directory) => {
      const missing = path.join(directory, 'no-such-command');
      const result = await holdfast(['run', target, '--', missing, 'argument']);
      expect(result).toEqual({
        code: 127,
        signal: null,
        stdout: '',
        stderr: `holdfast run: ${missing}: command not found\n`,
      });
      const { state, holder } = await inspectLock(target);
      expect({ state, holder }).toEqual({ state: 'free', holder: null });
    });
  });

  test.runIf(has('modes'))(
    'is 126 when the command is a file that may not be executed, or a directory',
    async () => {
      await withTarget(async (target, directory) => {
        const file = path.join(directory, 'not-executable');
        await writeFile(file, '');
        await chmod(file, 0o600);
        await mkdir(path.join(directory, 'subdirectory'));
        for (const command of [file, path.join(directory, 'subdirectory')]) {
          const result = await holdfast(['run', target, '--', command]);
          expect(result).toMatchObject({ code: 126, signal: null });
          expect(result.stderr).toBe(`holdfast run: ${command}: cannot be executed (EACCES)\n`);
        }
      });
    },
  );
});

describe('the command', () => {
  test('gets its arguments as they are: no shell reads them', async () => {
    await withTarget(async (target) => {
      const args = ['$HOME', '$(id)', '`id`', '*', 'a b', '', "'", '"', ';', '--help', '--', '\n'];
      const show = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))';
      const result = await holdfast(['run', target, '--', node, '-e', show, '--', ...args]);
      expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
      expect(JSON.parse(result.stdout)).toEqual(args);
    });
  });

  test('has our standard streams, working directory and environment', async () => {
    await withTarget(async (target, directory) => {
      await withChildren(async (children) => {
        const show =
          "process.stdin.pipe(process.stderr); console.log(process.cwd() + ' ' + process.env.COLOUR)";
        const child = children.spawnNode([commandFile, 'run', target, '--', node, '-e', show], {
          cwd: directory,
          env: { COLOUR: 'blue' },
        });
        child.process.stdin?.end('from outside');
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect(child.stdout).toBe(`${directory} blue\n`);
        expect(child.stderr).toBe('from outside');
      });
    });
  });

  test('runs while the lock is held, and the lock is free when it has ended', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const { child } = await startHolding(children, [target]);
        expect(await isFree(target)).toBe(false);
        child.process.stdin?.write('7');
        expect(await child.waitForExit()).toEqual({ code: 7, signal: null });
        expect(await isFree(target)).toBe(true);
        expect(existsSync(target)).toBe(false);
      });
    });
  });

  test('waits until the lock is free', async () => {
    await withTarget(async (target) => {
      const held = await lock(target);
      await withChildren(async (children) => {
        const say = "console.log('got it')";
        const child = children.spawnNode([commandFile, 'run', target, '--', node, '-e', say]);
        const end = await mustBlock(child.waitForExit(), 'holdfast run on a held lock');
        expect(child.stdout).toBe('');
        await held.release();
        expect(await end()).toEqual({ code: 0, signal: null });
        expect(child.stdout).toBe('got it\n');
        expect(child.stderr).toBe('');
      });
    });
  });
});

describe('errors', () => {
  test('a missing directory is one line with the code, the path and what to do', async () => {
    await withTarget(async (target) => {
      const file = path.join(target, 'absent', 'file');
      const result = await holdfast(['run', file, '--', node, '-e', '']);
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast run: .*ENOENT.*\n$/);
      expect(result.stderr).toContain(path.join(target, 'absent'));
      expect(result.stderr).toContain('The directory must exist; the file need not.');
    });
  });

  test('somebody else’s data where the lock file should be is refused with 77, and kept', async () => {
    await withTarget(async (target, directory) => {
      await writeFile(path.join(directory, '.target.lock'), 'my data\n');
      const result = await holdfast(['run', target, '--', node, '-e', '']);
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast run: .*ECORRUPT.*\n$/);
    });
  });

  test('a lock that was lost while the command ran is told, and the exit code stays', async () => {
    await withTarget(async (target, directory) => {
      await withChildren(async (children) => {
        const { child } = await startHolding(children, [target]);
        takeAway(path.join(directory, '.target.lock'));
        child.process.stdin?.write('5');
        expect(await child.waitForExit()).toEqual({ code: 5, signal: null });
        expect(child.stderr).toContain(`${target} was not protected until the end`);
      });
    });
  });
});
