import { existsSync } from 'node:fs';
import path from 'node:path';

import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { hasTerminal, holdfast, onTerminal } from './helpers/command-line.js';
import { node, startHolding, withTarget } from './helpers/holding-run.js';

describe('a conflict', () => {
  test.each([
    [['--nonblock'], 1],
    [['-n', '--conflict-exit-code', '75'], 75],
    [['-nE0'], 0],
    [['--timeout', '300ms'], 1],
    [['--timeout', '0'], 1],
    [['-w', '0.3', '-E', '75'], 75],
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
