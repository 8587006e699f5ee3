/** Batch files: what the shell of Windows runs like a program, and the system does not. */
import { existsSync } from 'node:fs';
import { delimiter, extname, join, resolve } from 'node:path';

const batchExtensions = ['.bat', '.cmd'];

/**
 * The batch file that the shell would run for `command`, or null. It is looked for where libuv looks for programs: in the
 * directory that the command names, or else in the working directory and in those of PATH.
 */
export function findBatchFile(command: string): string | null {
  const names = isBatchFile(command)
    ? [command]
    : batchExtensions.map((extension) => command + extension);
  const directories = /[\\/:]/.test(command)
    ? ['.']
    : ['.', ...(process.env.PATH ?? '').split(delimiter).map((part) => part.replaceAll('"', ''))];
  for (const directory of directories) {
    if (directory === '') continue;
    for (const name of names) {
      if (existsSync(resolve(directory, name))) {
        return directory === '.' ? name : join(directory, name);
      }
    }
  }
  return null;
}

/** Node does not start one, and says EINVAL without looking for it: no quoting keeps its arguments from the shell. */
export function isBatchFile(command: string): boolean {
  return batchExtensions.includes(extname(command).toLowerCase());
}
