import { readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { withExample } from './helpers/examples.js';

test('a run that finds the one before it at work leaves, and one after a crash goes on', () =>
  withExample('cron-once', (directory) =>
    withChildren(async (children) => {
      const start = (STEP_MS: string) =>
        children.spawnNode(['nightly.mjs'], { cwd: directory, env: { STEPS: '3', STEP_MS } });

      const long = start('600000');
      await long.waitForOutput(/step 1 of 3\n/);
      const overlapping = start('1');
      expect(await overlapping.waitForExit()).toEqual({ code: 0, signal: null });
      expect(overlapping.stdout).toMatch(
        new RegExp(`^the run before this one is still at work \\(pid ${long.pid} since [^)]+\\)`),
      );
      expect(overlapping.stderr).toBe('');

      long.kill('SIGKILL');
      expect((await long.waitForExit()).code === 0).toBe(false);
      const next = start('1');
      expect(await next.waitForExit()).toEqual({ code: 0, signal: null });
      expect(next).toMatchObject({
        stdout: `pid ${long.pid} did not finish: going on\nstep 2 of 3\nstep 3 of 3\n`,
        stderr: '',
      });
      const progress = readFileSync(path.join(directory, 'progress.json'), 'utf8');
      expect(JSON.parse(progress)).toEqual({ done: 3 });
    }),
  ));
