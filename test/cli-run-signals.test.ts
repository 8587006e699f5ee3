import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, hasTerminal, onTerminal } from './helpers/command-line.js';
import { mustBlock } from './helpers/must-block.js';
import {
  foregroundCommand,
  isFree,
  node,
  startHolding,
  withTarget,
} from './helpers/holding-run.js';

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
