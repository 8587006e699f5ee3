import { readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { tryLock, updateFile, updateFileSync } from 'holdfast';
import type { Data, UpdateOptions } from 'holdfast';
import { expect } from 'vitest';

import { withTemporaryDirectory } from './temporary-directory.js';

/** A file with these contents; in the end nobody holds its lock, and nothing else is in its directory. */
export async function withFile(
  contents: string | null,
  use: (file: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    if (contents !== null) await writeFile(file, contents);
    await use(file, directory);
    const held = await tryLock(file);
    expect(held).not.toBeNull();
    await held?.release();
    const left = readdirSync(directory).filter((name) => name.startsWith('.holdfast'));
    expect(left).toEqual([]);
  });
}

/** Tells one commit from the next. */
export function stateOf(file: string): string {
  const { ino, ctimeNs } = statSync(file, { bigint: true });
  return `${ino} ${ctimeNs}`;
}

type Update = (
  file: string,
  fn: (current: Buffer | null) => Data | undefined,
  options?: Omit<UpdateOptions, 'signal'>,
) => Promise<Buffer | null>;
// eslint-disable-next-line @typescript-eslint/require-await -- What it throws is to be a rejection.
const sync: Update = async (...args) => updateFileSync(...args);
export const updateForms: readonly [name: string, update: Update][] = [
  ['updateFile', updateFile],
  ['updateFileSync', sync],
];
