// `holdfast run` where no lock can be inherited: a job object gives the lock and the command one life.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child, Children } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const node = process.execPath;
const commandWithOffspring = [node, path.join(fixturesDirectory, 'command-with-offspring.cjs')];

interface Running {
  run: Child;
  command: number;
  offspring: number;
}

/** Runs `holdfast run` with a command that has started a process which outlives it; ends that whatever `use` does. */
async function withRun(
  args: readonly string[],
  use: (running: Running) => Promise<void>,
): Promise<void> {
  await withChildren(async (children: Children) => {
    const run = children.spawnNode([commandFile, 'run', ...args, '--', ...commandWithOffspring]);
    const [, command, offspring] = await run.waitForOutput(/ready (\d+) (\d+)/);
    try {
      await use({ run, command: Number(command), offspring: Number(offspring) });
    } finally {
      for (const pid of [command, offspring].map(Number)) if (isAlive(pid)) process.kill(pid);
    }
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function isFree(target: string): Promise<boolean> {
  const held = await tryLock(target);
  await held?.release();
  return held !== null;
}

describe.runIf(has('jobObjects'))('a command and its lock', () => {
  test('end together when holdfast is killed, and with them what the command has started', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      await withRun([target], async ({ run, command, offspring }) => {
        const granted = await mustBlock(lock(target), 'the lock of a running command');
        expect([command, offspring].map(isAlive)).toEqual([true, true]);
        run.kill('SIGKILL');
        const held = await granted();
        expect([command, offspring].map(isAlive)).toEqual([false, false]);
        expect(held.previousHolder?.pid).toBe(run.pid);
        await held.release();
      });
    }));

  test('end together in a run within a run, whichever lock it is', () =>
    withTemporaryDirectory(async (directory) => {
      const [outer, inner] = [path.join(directory, 'outer'), path.join(directory, 'inner')];
      const nested = [outer, '--', node, commandFile, 'run', inner];
      await withRun(nested, async ({ run, command, offspring }) => {
        expect([await isFree(outer), await isFree(inner)]).toEqual([false, false]);
        const granted = await mustBlock(lock(inner), 'the lock of the inner command');
        run.kill('SIGKILL');
        await (await granted()).release();
        await (await lock(outer, { timeout: 20_000 })).release();
        expect([command, offspring].map(isAlive)).toEqual([false, false]);
      });
    }));

  test('last until a process has ended that the command left behind', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      await withRun([target], async ({ run, command, offspring }) => {
        run.process.stdin?.write('7');
        await expect.poll(() => isAlive(command), { timeout: 20_000 }).toBe(false);
        const end = await mustBlock(run.waitForExit(), 'holdfast run after its command');
        const granted = await mustBlock(lock(target), 'the lock of a process left behind');
        process.kill(offspring);
        expect(await end()).toEqual({ code: 7, signal: null });
        const held = await granted();
        // The run has ended in order.
        expect(held.previousHolder).toBeNull();
        await held.release();
      });
    }));
});

describe.runIf(has('jobObjects'))('with --close', () => {
  test('the lock is free when the command has ended, and what it left behind lives on', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      await withRun(['--close', target], async ({ run, offspring }) => {
        expect(await isFree(target)).toBe(false);
        run.process.stdin?.write('0');
        expect(await run.waitForExit()).toEqual({ code: 0, signal: null });
        const held = await tryLock(target);
        expect(held?.previousHolder).toBeNull();
        expect(isAlive(offspring)).toBe(true);
        await held?.release();
      });
    }));

  test('the lock is free when holdfast is killed, and what the command has started lives on', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      await withRun(['--close', target], async ({ run, offspring }) => {
        run.kill('SIGKILL');
        await (await lock(target, { timeout: 20_000 })).release();
        expect(isAlive(offspring)).toBe(true);
      });
    }));
});

describe.runIf(has('jobObjects'))('the exit code', () => {
  test.each([0, 7, 255, 0xc0000005])('is that of the command: %d', (code) =>
    withTemporaryDirectory(async (directory) => {
      const exit = ['--', node, '-e', `process.exit(${code | 0})`];
      const result = await holdfast(['run', path.join(directory, 'target'), ...exit]);
      expect(result).toEqual({ code, signal: null, stdout: '', stderr: '' });
    }),
  );

  test('is 1 when the command was ended by somebody else: there are no signals', () =>
    withTemporaryDirectory(async (directory) => {
      await withRun([path.join(directory, 'target')], async ({ run, command, offspring }) => {
        process.kill(command, 'SIGKILL');
        process.kill(offspring, 'SIGKILL');
        expect(await run.waitForExit()).toEqual({ code: 1, signal: null });
      });
    }));
});

describe.runIf(has('jobObjects'))('a batch file', () => {
  test.each(['build.cmd', 'build.BAT', 'build', '.\\build', 'sub/build.cmd'])(
    'is not run without a shell, which the message asks for: %s',
    (command) =>
      withTemporaryDirectory(async (directory) => {
        await mkdir(path.join(directory, 'sub'));
        for (const file of ['build.cmd', 'build.bat', 'sub/build.cmd']) {
          await writeFile(path.join(directory, file), '@exit /b 3\r\n');
        }
        const result = await holdfast(['run', 'target', '--', command], { cwd: directory });
        expect(result).toMatchObject({ code: 126, signal: null, stdout: '' });
        expect(result.stderr).toMatch(
          /^holdfast run: .*: cannot be executed without a shell, since it is a batch file; say which: -- cmd \/d \/c \S*build\.(?:cmd|bat)\n$/i,
        );
        expect(await isFree(path.join(directory, 'target'))).toBe(true);
      }),
  );

  test('is found in the PATH as well', () =>
    withTemporaryDirectory(async (directory) => {
      const tool = path.join(directory, 'tool.cmd');
      await writeFile(tool, '');
      const target = path.join(directory, 'target');
      const env = { PATH: `"${directory}";${process.env.PATH ?? ''}` };
      const result = await holdfast(['run', target, '--', 'tool'], { env });
      expect(result).toMatchObject({ code: 126, signal: null });
      expect(result.stderr).toContain(`-- cmd /d /c ${tool}\n`);
    }));

  test('that is absent is a command that was not found', () =>
    withTemporaryDirectory(async (directory) => {
      const missing = path.join(directory, 'missing.cmd');
      const result = await holdfast(['run', path.join(directory, 'target'), '--', missing]);
      expect(result).toEqual({
        code: 127,
        signal: null,
        stdout: '',
        stderr: `holdfast run: ${missing}: command not found\n`,
      });
    }));

  test('runs when the shell is named', () =>
    withTemporaryDirectory(async (directory) => {
      await writeFile(path.join(directory, 'build.cmd'), '@exit /b 3\r\n');
      const args = ['run', 'target', '--', 'cmd', '/d', '/c', 'build.cmd'];
      expect(await holdfast(args, { cwd: directory })).toMatchObject({ code: 3, signal: null });
    }));
});
