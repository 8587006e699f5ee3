import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Data } from 'holdfast';
import { expect } from 'vitest';

import { withTemporaryDirectory } from './temporary-directory.js';

export const old = 'old contents';

/** A file with old contents in a directory that must hold nothing else in the end, besides what `use` names. */
export async function withFile(
  use: (file: string, directory: string) => Promise<string[] | undefined>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, old);
    const others = await use(file, directory);
    expect((await readdir(directory)).sort()).toEqual(['file', ...(others ?? [])].sort());
  });
}

export async function* generate(...chunks: Data[]): AsyncGenerator<Data> {
  for (const chunk of chunks) {
    await sleep(1);
    yield chunk;
  }
}
