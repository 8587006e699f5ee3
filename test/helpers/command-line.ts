import { spawnSync } from 'node:child_process';
import { devNull } from 'node:os';
import path from 'node:path';

import { runNode } from './child.js';
import type { ChildExit, ChildOptions } from './child.js';
import { projectDirectory } from './paths.js';

/** The built `holdfast` command: run it with Node. */
export const commandFile = path.join(projectDirectory, 'dist', 'cli', 'main.js');

/** Runs `holdfast` to its end. */
export async function holdfast(
  args: readonly string[],
  options: ChildOptions = {},
): Promise<ChildExit & { stdout: string; stderr: string }> {
  return runNode([commandFile, ...args], options);
}

/** Whether script(1) is there to give a command a terminal of its own; the reason why not is printed. */
export const hasTerminal = ((): boolean => {
  const probe = spawnSync('script', ['-qec', 'test -t 0', devNull], { input: '', timeout: 10_000 });
  if (probe.status === 0) return true;
  process.stderr.write('What needs a terminal is left out: no usable script(1)\n');
  return false;
})();

/** The command line that runs `holdfast` on a terminal of its own: its input and output are those of script(1). */
export function onTerminal(args: readonly string[]): [command: string, args: string[]] {
  const words = [process.execPath, commandFile, ...args].map(
    (word) => `'${word.replaceAll("'", "'\\''")}'`,
  );
  return ['script', ['-qec', `exec ${words.join(' ')}`, devNull]];
}
