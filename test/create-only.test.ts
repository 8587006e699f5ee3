import { readFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { replaceFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { forms, old, withFile } from './helpers/expected-file.js';

describe.each(forms)('createOnly of %s', (_form, replace) => {
  test('makes a file, and never replaces one', async () => {
    await withFile(async (file) => {
      await expect(
        (async () => replace(file, 'new', { createOnly: true }))(),
      ).rejects.toMatchObject({ code: 'EEXIST', published: false, targetState: 'old' });
      expect(readFileSync(file, 'utf8')).toBe(old);
      await rm(file);
      await replace(file, 'new', { createOnly: true });
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });
});

test('of many createOnly at once one makes the file', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 32 }, (_, number) =>
        replaceFile(file, `${number}`, { createOnly: true, durability: 'none' }),
      ),
    );
    const winners = outcomes.flatMap(({ status }, number) =>
      status === 'fulfilled' ? [`${number}`] : [],
    );
    expect(winners).toHaveLength(1);
    expect(readFileSync(file, 'utf8')).toBe(winners[0]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'EEXIST' });
    }
    expect(await readdir(directory)).toEqual(['file']);
  });
});

test('createOnly does not replace a file that came while the contents were written', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    async function* interfering(): AsyncGenerator<string> {
      yield 'mine';
      await writeFile(file, 'theirs');
    }
    await expect(replaceFile(file, interfering(), { createOnly: true })).rejects.toMatchObject({
      code: 'EEXIST',
      phase: 'publish',
    });
    expect(readFileSync(file, 'utf8')).toBe('theirs');
    expect(await readdir(directory)).toEqual(['file']);
  });
});
