import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { projectDirectory } from './helpers/paths.js';

// The wall clock may be set back by an hour at any time. A thread that sleeps until a time on it would sleep for that hour.
test.runIf(has('strace'))('no thread that waits for a lock sleeps by the wall clock', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'file');
    const held = await lock(target);
    const log = path.join(directory, 'log');
    const program = `
      require('holdfast').lockSync(process.argv[1], { timeout: 300 });`;
    const tracer = ['strace', '-f', '-o', log, '-e', 'trace=futex'];
    const child = await runNode(['-e', program, target], { cwd: projectDirectory, prefix: tracer });
    await held.release();
    expect(child).toMatchObject({ code: 1, signal: null });
    expect(child.stderr).toContain('ETIMEDOUT');
    const calls = (await readFile(log, 'utf8')).split('\n');
    const sleeps = calls.filter((line) => /FUTEX_WAIT/.test(line));
    // Those with a time: {tv_sec=…} or, relative or absolute, a deadline.
    expect(sleeps.filter((line) => /tv_sec/.test(line))).not.toEqual([]);
    expect(sleeps.filter((line) => /FUTEX_CLOCK_REALTIME.*tv_sec/.test(line))).toEqual([]);
  });
});
