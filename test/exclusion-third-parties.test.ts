import { existsSync } from 'node:fs';
import path from 'node:path';

import { lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child, Children } from './helpers/child.js';
import { mustBlock } from './helpers/must-block.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** Programs with flock(1)'s options that copy their input to their output while they hold the lock. */
const thirdParties = [
  {
    name: 'flock(1)',
    present: has('flockCommand'),
    command: (options: string[], file: string): [string, string[]] => [
      'flock',
      [...options, '-E', '9', file, 'cat'],
    ],
  },
  {
    name: 'a Python program with fcntl.flock',
    present: has('python'),
    command: (options: string[], file: string): [string, string[]] => [
      'python3',
      [path.join(fixturesDirectory, 'flock.py'), ...options, file],
    ],
  },
];

const modes = [
  ['exclusive', 'exclusive'],
  ['exclusive', 'shared'],
  ['shared', 'exclusive'],
  ['shared', 'shared'],
] as const;

for (const { name, present, command } of thirdParties) {
  describe.runIf(present)(name, () => {
    const option = (mode: string) => (mode === 'shared' ? '-s' : '-x');
    const start = (children: Children, options: string[], file: string) => {
      const child = children.spawn(...command(options, file));
      child.process.stdin?.write('granted\n');
      return child;
    };

    test.each(modes)('asking (%s) beside our lock (%s)', async (theirs, ours) => {
      await withTemporaryDirectory(async (directory) =>
        withChildren(async (children) => {
          const held = await lock(path.join(directory, 'file'), { shared: ours === 'shared' });
          const attempt = start(children, ['-n', option(theirs)], held.lockPath);
          if (ours === 'shared' && theirs === 'shared') {
            await attempt.waitForOutput(/granted/);
            await leave(attempt);
            await held.release();
            return;
          }
          expect(await attempt.waitForExit()).toEqual({ code: 9, signal: null });
          expect(attempt.stdout).toBe('');

          const waiter = start(children, [option(theirs)], held.lockPath);
          const granted = await mustBlock(waiter.waitForOutput(/granted/), `${name} waiting`);
          await held.release();
          await granted();
          await leave(waiter);
        }),
      );
    });

    test.each(modes)('holding (%s) when we ask (%s)', async (theirs, ours) => {
      await withTemporaryDirectory(async (directory) =>
        withChildren(async (children) => {
          const target = path.join(directory, 'file');
          const options = { shared: ours === 'shared' };
          // The other program makes the lock file, empty and with permissions of its own.
          const file = path.join(directory, '.file.lock');
          expect(existsSync(file)).toBe(false);
          const holder = start(children, [option(theirs)], file);
          await holder.waitForOutput(/granted/);

          if (ours === 'shared' && theirs === 'shared') {
            (await lock(target, options)).releaseSync();
            lockSync(target, options).releaseSync();
            await leave(holder);
            return;
          }
          expect(await tryLock(target, options)).toBeNull();
          expect(tryLockSync(target, options)).toBeNull();
          const granted = await mustBlock(lock(target, options), 'lock');
          await leave(holder);
          const held = await granted();
          // It left no name, so there is nobody to tell of.
          expect(held.previousHolder).toBeNull();
          await held.release();

          const again = start(children, [option(theirs)], file);
          await again.waitForOutput(/granted/);
          expect(() => lockSync(target, { ...options, timeout: 50 })).toThrow(
            expect.objectContaining({ code: 'ETIMEDOUT' }),
          );
          await leave(again);
        }),
      );
    });
  });
}

/** Ends a program that copies its input. */
async function leave(child: Child): Promise<void> {
  child.process.stdin?.end();
  expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
}
