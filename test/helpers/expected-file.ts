import { createHash } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { HoldfastError, readRegularFile, replaceFile, replaceFileSync } from 'holdfast';
import type { ReplaceResult, ReplaceSyncOptions } from 'holdfast';
import { expect } from 'vitest';

import { withTemporaryDirectory } from './temporary-directory.js';

export const old = 'old contents';
export const sha256 = (contents: string): string =>
  createHash('sha256').update(contents).digest('hex');

type Replace = (
  file: string,
  data: string,
  options?: ReplaceSyncOptions,
) => ReplaceResult | Promise<ReplaceResult>;
// eslint-disable-next-line @typescript-eslint/require-await -- What it throws is to be a rejection.
const sync: Replace = async (...args) => replaceFileSync(...args);
export const forms: readonly [name: string, replace: Replace][] = [
  ['replaceFile', replaceFile],
  ['replaceFileSync', sync],
];

export async function withFile(
  use: (file: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, old);
    await use(file, directory);
    const left = await readdir(directory);
    expect(left.filter((name) => /\.tmp$|\.undo$/.test(name))).toEqual([]);
  });
}

export async function identityOf(file: string): Promise<string> {
  const current = await readRegularFile(file);
  if (current === null) throw new Error(`${file} is absent`);
  return current.identity;
}

export async function expectConflict(file: string, replaced: unknown): Promise<void> {
  const error: unknown = await Promise.resolve(replaced).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HoldfastError);
  expect(error).toMatchObject({
    name: 'HoldfastError',
    code: 'ECONFLICT',
    message: `ECONFLICT: the file is not the expected one, '${file}'`,
    path: file,
    refused: false,
    phase: 'publish',
    published: false,
    targetState: 'old',
  });
}
