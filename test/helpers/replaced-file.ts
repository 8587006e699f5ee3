import { chmod, lstat, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { replaceFile, replaceFileSync } from 'holdfast';
import type { Data, ReplaceResult, ReplaceSyncOptions } from 'holdfast';
import { expect } from 'vitest';

import { has } from './capabilities.js';

/** Both forms of the replace. */
export const replaceForms = ['replaceFile', 'replaceFileSync'] as const;

/** Both ways to publish: under which options the replace of an existing file goes which way. */
export const replaceWays = [
  { way: 'rename', options: {} },
  { way: 'copy', options: { copyFallback: 'always' } },
] as const;

/** Every combination of the two. */
export const replaceCases = replaceWays.flatMap(({ way, options }) =>
  replaceForms.map((form) => ({ way, options, form })),
);

/** Either form, which rejects in either. */
export async function replaceBy(
  form: (typeof replaceForms)[number],
  file: string,
  data: Data,
  options?: ReplaceSyncOptions,
): Promise<ReplaceResult> {
  return form === 'replaceFile'
    ? replaceFile(file, data, options)
    : replaceFileSync(file, data, options);
}

export async function modeOf(file: string): Promise<number> {
  return (await lstat(file)).mode & 0o7777;
}

/** A file with these contents and exactly this mode. */
export async function makeFile(
  file: string,
  contents: string | Uint8Array,
  mode = 0o640,
): Promise<string> {
  await writeFile(file, contents);
  await chmod(file, mode);
  return file;
}

/** Names of temporary files, undo files and whatever else holdfast might have left in `directory`. */
export async function leftBehind(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.startsWith('.holdfast'));
}

/** Asserts the contents of a file, its mode where files have modes, and that nothing else of holdfast's is beside it. */
export async function expectFile(
  file: string,
  expected: { contents: string | Uint8Array; mode?: number },
  what?: string,
): Promise<void> {
  const contents = await readFile(file);
  if (typeof expected.contents === 'string') {
    expect(contents.toString(), what).toBe(expected.contents);
  } else {
    expect(contents.equals(expected.contents), what).toBe(true);
  }
  if (expected.mode !== undefined && has('modes')) {
    expect(await modeOf(file), what).toBe(expected.mode);
  }
  expect(await leftBehind(path.dirname(file)), what).toEqual([]);
}
