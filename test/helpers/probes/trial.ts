import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Each tries the thing itself and hands back why it does not work, or null. */
export type Probes = Record<string, () => string | null>;

/** Why `action` fails, or null. */
export function attempt(action: () => void): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why a program does not end well, or null. */
export function whyNot(
  command: string,
  args: readonly string[],
  identity: { uid?: number; gid?: number } = {},
): string | null {
  const result = spawnSync(command, args, { ...identity, encoding: 'utf8', timeout: 10_000 });
  if (result.error) return result.error.message;
  if (result.status === 0) return null;
  const output = `${result.stderr}${result.stdout}`.trim();
  return `${command} ended with ${String(result.status ?? result.signal)}: ${output}`;
}

/** Hands `use` a file that this process has open. */
export function withOpenFile(use: (file: string) => string | null): string | null {
  return inTemporaryDirectory((directory) => {
    const file = path.join(directory, 'file');
    const descriptor = openSync(file, 'w');
    try {
      return use(file);
    } finally {
      closeSync(descriptor);
    }
  });
}

export function inTemporaryDirectory(use: (directory: string) => string | null): string | null {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-probe-'));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
