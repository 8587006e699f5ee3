import { readFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'vitest';

/**
 * Notes what is in `directory` and below: names, kinds, contents, permissions, owners, links and times. The returned
 * function asserts that all of it is still so, but for what is `relinked`: others may give its files more names.
 */
export async function watchUntouched(
  directory: string,
  { relinked = false } = {},
): Promise<() => Promise<void>> {
  const before = await describeTree(directory, relinked);
  return async () => {
    expect(await describeTree(directory, relinked)).toEqual(before);
  };
}

async function describeTree(directory: string, relinked: boolean): Promise<unknown[]> {
  const names = (await readdir(directory, { recursive: true })).sort();
  return Promise.all(
    ['.', ...names].map(async (name) => {
      const file = path.join(directory, name);
      const { mode, uid, gid, nlink, ino, size, mtimeNs, ctimeNs } = await lstat(file, {
        bigint: true,
      });
      const isRegular = (Number(mode) & 0o170000) === 0o100000;
      const content = isRegular ? readFileSync(file).toString('latin1') : null;
      const links = relinked && isRegular ? {} : { nlink, ctimeNs };
      return { name, mode, uid, gid, ino, size, mtimeNs, content, ...links };
    }),
  );
}
