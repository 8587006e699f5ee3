import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { expect, test } from 'vitest';

import { run } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Made by `node scripts/build-windows.mjs x64 --tests`, and runs where programs of Windows run: in Wine, too.
const program = path.join(projectDirectory, 'build', 'win32-x64', 'win32-call-table.exe');

const cases = listCases();

if (cases.length === 0) test.skip('what native/win makes of the answers of Windows');

test.each(cases)('%s', async (name) => {
  await withTemporaryDirectory(async (directory) => {
    const { code, signal, stderr } = await run(program, [name, directory]);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });
});

/** The names of the test cases; none, with the reason printed, where the program cannot be run. */
function listCases(): string[] {
  const { error, status, stdout, stderr } = spawnSync(program, ['--list'], { encoding: 'utf8' });
  if (!error && status === 0) return stdout.split(/\r?\n/).filter((line) => line !== '');
  const reason = error?.message ?? `it ended with ${String(status)}: ${stderr}`;
  process.stderr.write(`Tests at the Win32 call table are skipped: ${reason}\n`);
  return [];
}
