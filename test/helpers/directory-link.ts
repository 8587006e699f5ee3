import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, symlinkSync } from 'node:fs';

// A link to a directory: a symbolic link, on Windows a junction. Wine makes neither, but sees the links of the system
// below it, whose programs it can start.
const { WINEPREFIX } = process.env;

function runBelowWine(command: string, ...paths: string[]): void {
  const named = paths.map((path) =>
    path.replace(/^C:/i, `${WINEPREFIX}/drive_c`).replaceAll('\\', '/'),
  );
  // Its exit code says nothing.
  spawnSync('start.exe', ['/wait', '/unix', `/usr/bin/${command}`, ...named], { stdio: 'ignore' });
}

/** Waits, for ten seconds at most: what runs below Wine may go on when its start has ended. */
function waitWhile(isSo: () => boolean): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let round = 0; isSo() && round < 500; round++) Atomics.wait(pause, 0, 0, 20);
}

/** It has to be removed by {@link removeDirectoryLink}, since what removes a tree may go through it. */
export function makeDirectoryLink(target: string, link: string): void {
  if (WINEPREFIX === undefined) symlinkSync(target, link, 'junction');
  else runBelowWine('ln', '-s', target, link);
  waitWhile(() => !existsSync(link));
  readdirSync(link);
}

export function removeDirectoryLink(link: string): void {
  if (WINEPREFIX === undefined) rmSync(link, { force: true });
  else runBelowWine('rm', '-f', link);
  waitWhile(() => existsSync(link));
}

/** Hands over to `use` while `link` leads to the directory `target`. */
export async function withDirectoryLink<T>(
  target: string,
  link: string,
  use: () => T | Promise<T>,
): Promise<T> {
  makeDirectoryLink(target, link);
  try {
    return await use();
  } finally {
    removeDirectoryLink(link);
  }
}
