import path from 'node:path';

import { tryLock } from 'holdfast';

import type { Child, Children } from './child.js';
import { commandFile } from './command-line.js';
import { fixturesDirectory } from './paths.js';
import { withTemporaryDirectory } from './temporary-directory.js';

export const node = process.execPath;
export const foregroundCommand = [node, path.join(fixturesDirectory, 'foreground-command.cjs')];

/** Whether a command can inherit a lock here. */
export const handsDown = process.platform !== 'win32';

export async function withTarget<T>(
  use: (target: string, directory: string) => Promise<T>,
): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'target'), directory));
}

/** Starts `holdfast run` with a command that lives until it is told to end, and waits until it runs. */
export async function startHolding(
  children: Children,
  args: readonly string[],
): Promise<{ child: Child; commandPid: number }> {
  const child = children.spawnNode([commandFile, 'run', ...args, '--', ...foregroundCommand]);
  const [, pid] = await child.waitForOutput(/ready (\d+)/);
  return { child, commandPid: Number(pid) };
}

export async function isFree(target: string): Promise<boolean> {
  const held = await tryLock(target);
  await held?.release();
  return held !== null;
}
