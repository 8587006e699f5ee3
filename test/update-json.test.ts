import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { HoldfastError, updateJson } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { stateOf, withFile } from './helpers/updated-file.js';

describe('updateJson', () => {
  test('hands over the value, writes the new one to be read by people, and resolves with it', async () => {
    await withFile('{"n": 1, "ü": [true, null]}', async (file) => {
      const result = await updateJson<{ n: number }>(file, async (value) => {
        await sleep(1);
        return { ...value, n: (value?.n ?? 0) + 1 };
      });
      expect(result).toEqual({ n: 2, ü: [true, null] });
      expect(readFileSync(file, 'utf8')).toBe(
        '{\n  "n": 2,\n  "ü": [\n    true,\n    null\n  ]\n}\n',
      );
    });
  });

  test('hands over null when there is no file', async () => {
    await withFile(null, async (file, directory) => {
      expect(await updateJson(file, (value) => (value === null ? undefined : 1))).toBeNull();
      expect(readdirSync(directory)).toEqual(['.file.lock']);
      expect(await updateJson(file, (value) => [value])).toEqual([null]);
      expect(readFileSync(file, 'utf8')).toBe('[\n  null\n]\n');
    });
  });

  test('leaves the file alone when undefined comes back', async () => {
    await withFile('[1]', async (file) => {
      const before = stateOf(file);
      expect(await updateJson(file, () => undefined)).toEqual([1]);
      expect(stateOf(file)).toBe(before);
    });
  });

  test.each(['', '{"a":', 'text', '{} {}'])(
    'a file that holds %j is ECORRUPT, and left alone',
    async (contents) => {
      await withFile(contents, async (file) => {
        const before = stateOf(file);
        let called = false;
        const error: unknown = await updateJson(file, () => {
          called = true;
          return 1;
        }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(HoldfastError);
        expect(error).toMatchObject({
          code: 'ECORRUPT',
          path: file,
          cause: expect.any(SyntaxError) as SyntaxError,
        });
        expect(called).toBe(false);
        expect(stateOf(file)).toBe(before);
      });
    },
  );

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('no')],
  ])('%s, which JSON has no text for, is refused', async (_name, value) => {
    await withFile('[1]', async (file) => {
      await expect(updateJson(file, () => value as never)).rejects.toThrow(TypeError);
      expect(readFileSync(file, 'utf8')).toBe('[1]');
    });
  });

  test('of several at once none is lost, and one on what cannot be written fails alone', async () => {
    await withFile(null, async (file) => {
      const addOne = (value: { n: number } | null) => ({ n: (value?.n ?? 0) + 1 });
      const circular: { self?: unknown } = {};
      circular.self = circular;
      const outcomes = await Promise.allSettled([
        updateJson(file, addOne),
        updateJson(file, () => circular as never),
        updateJson(file, addOne),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ n: 2 });
    });
  });
});
