import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';

import { inspectLock, lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child, Children } from './helpers/child.js';
import { commandFile, hasTerminal, holdfast, onTerminal } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const node = process.execPath;
const foregroundCommand = [node, path.join(fixturesDirectory, 'foreground-command.cjs')];

/** Whether a command can inherit a lock here. */
const handsDown = process.platform !== 'win32';

async function withTarget<T>(use: (target: string, directory: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'target'), directory));
}

/** Starts `holdfast run` with a command that lives until it is told to end, and waits until it runs. */
async function startHolding(
  children: Children,
  args: readonly string[],
): Promise<{ child: Child; commandPid: number }> {
  const child = children.spawnNode([commandFile, 'run', ...args, '--', ...foregroundCommand]);
  const [, pid] = await child.waitForOutput(/ready (\d+)/);
  return { child, commandPid: Number(pid) };
}

async function isFree(target: string): Promise<boolean> {
  const held = await tryLock(target);
  await held?.release();
  return held !== null;
}

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

describe('a conflict', () => {
  test.each([
    [['--nonblock'], 1],
    [['-n', '--conflict-exit-code', '75'], 75],
    [['-nE0'], 0],
    [['--timeout', '20ms'], 1],
    [['--timeout', '0'], 1],
    [['-w', '0.02', '-E', '75'], 75],
    [['--shared', '--nonblock'], 1],
  ])(
    'with %j ends with %d, says who holds the lock, and does not run the command',
    async (args, code) => {
      await withTarget(async (target, directory) => {
        const held = await lock(target);
        try {
          const trace = path.join(directory, 'trace');
          const write = `require('node:fs').writeFileSync(${JSON.stringify(trace)}, '')`;
          const result = await holdfast(['run', ...args, target, '--', node, '-e', write]);
          expect(result).toMatchObject({ code, signal: null, stdout: '' });
          expect(result.stderr).toMatch(/^holdfast run: .*\n$/);
          expect(result.stderr).toContain(`pid ${process.pid}`);
          expect(existsSync(trace)).toBe(false);
          expect(held.held).toBe(true);
        } finally {
          await held.release();
        }
      });
    },
  );

  test.each([['--nonblock'], ['--timeout=20s']])('is none on a free lock: %s', async (option) => {
    await withTarget(async (target) => {
      const result = await holdfast(['run', option, target, '--', node, '-e', 'process.exit(4)']);
      expect(result).toEqual({ code: 4, signal: null, stdout: '', stderr: '' });
    });
  });

  test('arises between an exclusive and a shared lock, not between two shared ones', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const { child } = await startHolding(children, ['--shared', target]);
        const nothing = ['--', node, '-e', ''];
        expect((await holdfast(['run', '-n', '-s', target, ...nothing])).code).toBe(0);
        expect((await holdfast(['run', '-n', target, ...nothing])).code).toBe(1);
        child.process.stdin?.write('0');
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect((await holdfast(['run', '-n', target, ...nothing])).code).toBe(0);
      });
    });
  });
});

describe('signals', () => {
  const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

  test.runIf(has('signals')).each(passedOn)(
    '%s is passed on, and the command decides',
    async (signal) => {
      await withTarget(async (target) => {
        await withChildren(async (children) => {
          const { child } = await startHolding(children, [target]);
          child.kill(signal);
          await child.waitForOutput(new RegExp(`got ${signal}\n`));
          expect(await isFree(target)).toBe(false);
          child.process.stdin?.write('9');
          expect(await child.waitForExit()).toEqual({ code: 9, signal: null });
          expect(child.stdout.match(/got/g)).toHaveLength(1);
        });
      });
    },
  );

  test.runIf(has('signals'))(
    'a command that such a signal ends ends the run with 128 and its number',
    async () => {
      await withTarget(async (target) => {
        await withChildren(async (children) => {
          const say = "console.log('ready'); setInterval(() => {}, 1000)";
          const child = children.spawnNode([commandFile, 'run', target, '--', node, '-e', say]);
          await child.waitForOutput(/ready/);
          child.kill('SIGTERM');
          expect(await child.waitForExit()).toEqual({ code: 143, signal: null });
          expect(await isFree(target)).toBe(true);
        });
      });
    },
  );

  test('one that arrives while the lock is waited for ends the wait', async () => {
    await withTarget(async (target) => {
      const held = await lock(target);
      await withChildren(async (children) => {
        const child = children.spawnNode([commandFile, 'run', target, '--', node, '-e', '']);
        await mustBlock(child.waitForExit(), 'holdfast run on a held lock');
        child.kill('SIGTERM');
        expect(await child.waitForExit()).toEqual({ code: null, signal: 'SIGTERM' });
      });
      await held.release();
      expect(await isFree(target)).toBe(true);
    });
  });

  test.runIf(hasTerminal)('Ctrl-C on a terminal reaches the command once', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const [command, args] = onTerminal(['run', target, '--', ...foregroundCommand]);
        const child = children.spawn(command, args);
        const [, runPid] = await child.waitForOutput(/ready \d+, child of (\d+)/);
        for (const times of [1, 2, 3]) {
          child.process.stdin?.write('\u0003');
          await child.waitForOutput(new RegExp(`(got SIGINT[^]*){${times}}`));
          // What the run had to pass on before, it has passed on when this arrives.
          process.kill(Number(runPid), 'SIGUSR2');
          await child.waitForOutput(new RegExp(`(got SIGUSR2[^]*){${times}}`));
        }
        child.process.stdin?.write('6\r');
        expect(await child.waitForExit()).toEqual({ code: 6, signal: null });
        expect(child.stdout.match(/got SIGINT/g)).toHaveLength(3);
      });
    });
  });
});

describe.runIf(handsDown)('the inherited lock', () => {
  test('outlives SIGKILL of the run while the command lives', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const { child, commandPid } = await startHolding(children, [target]);
        const exited = once(child.process, 'exit');
        child.kill('SIGKILL');
        await exited;
        const granted = await mustBlock(lock(target), 'the lock of a command whose run was killed');
        process.kill(commandPid, 'SIGKILL');
        const held = await granted();
        expect(held.previousHolder?.pid).toBe(child.pid);
        await held.release();
      });
    });
  });

  test('does not with --close', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const { child, commandPid } = await startHolding(children, ['--close', target]);
        expect(await isFree(target)).toBe(false);
        child.kill('SIGKILL');
        await (await lock(target, { timeout: 20_000 })).release();
        // The command is still there: it was not its end that freed the lock.
        expect(process.kill(commandPid, 0)).toBe(true);
      });
    });
  });

  const leaveBehind = ['sh', '-c', 'sleep 1000 >/dev/null 2>&1 & echo "left $!"'];

  test('is kept by a process that the command leaves behind', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const child = children.spawnNode([commandFile, 'run', target, '--', ...leaveBehind]);
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        const pid = Number(/left (\d+)/.exec(child.stdout)?.[1]);
        const granted = await mustBlock(lock(target), 'the lock of a process left behind');
        process.kill(pid, 'SIGKILL');
        const held = await granted();
        // The run itself has ended in order.
        expect(held.previousHolder).toBeNull();
        await held.release();
      });
    });
  });

  test('is not with --close, and its record is cleared', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const args = ['run', '--close', target, '--', ...leaveBehind];
        const child = children.spawnNode([commandFile, ...args]);
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        const held = await tryLock(target);
        expect(held).not.toBeNull();
        expect(held?.previousHolder).toBeNull();
        await held?.release();
      });
    });
  });

  test.runIf(has('proc'))('is one descriptor of the command, and none with --close', async () => {
    await withTarget(async (target, directory) => {
      // Not Node: it would have descriptors of its own.
      const list = ['sh', '-c', 'for fd in /proc/$$/fd/*; do echo "$fd $(readlink "$fd")"; done'];
      const inherited = await holdfast(['run', target, '--', ...list]);
      const beyond = inherited.stdout.split('\n').filter((line) => /\/fd\/[3-9] /.test(line));
      const lockFile = path.join(directory, '.target.lock');
      expect(beyond.filter((line) => line.endsWith(lockFile))).toHaveLength(1);
      expect(beyond.find((line) => line.endsWith(lockFile))).toMatch(/\/fd\/3 /);

      const closed = await holdfast(['run', '--close', target, '--', ...list]);
      expect(closed.stdout).toContain('/fd/0 ');
      expect(closed.stdout).not.toContain(lockFile);
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
        await rm(path.join(directory, '.target.lock'));
        child.process.stdin?.write('5');
        expect(await child.waitForExit()).toEqual({ code: 5, signal: null });
        expect(child.stderr).toContain(`${target} was not protected until the end`);
      });
    });
  });
});

describe('a wait on a terminal', () => {
  test.runIf(hasTerminal)('says what it waits for and who holds it', async () => {
    await withTarget(async (target) => {
      const held = await lock(target);
      await withChildren(async (children) => {
        const [command, args] = onTerminal([
          'run',
          target,
          '--',
          node,
          '-e',
          "console.log('mine')",
        ]);
        const child = children.spawn(command, args, { env: { TERM: 'xterm' } });
        await child.waitForOutput(
          new RegExp(`still waiting for .*, held by pid ${process.pid} on .* since`),
        );
        await held.release();
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        // The message is wiped away before the command prints.
        expect(child.stdout).toContain('\r\u001b[2Kmine');
      });
    });
  });
});
