import { once } from 'node:events';
import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import { handsDown, isFree, startHolding, withTarget } from './helpers/holding-run.js';

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
      const beyond = inherited.stdout
        .split('\n')
        .filter((line) => /\/fd\/(?:[3-9]|\d\d+) /.test(line));
      const lockFile = path.join(directory, '.target.lock');
      expect(beyond.filter((line) => line.endsWith(lockFile))).toHaveLength(1);
      expect(beyond.find((line) => line.endsWith(lockFile))).toMatch(/\/fd\/87 /);

      const closed = await holdfast(['run', '--close', target, '--', ...list]);
      expect(closed.stdout).toContain('/fd/0 ');
      expect(closed.stdout).not.toContain(lockFile);
    });
  });
});
