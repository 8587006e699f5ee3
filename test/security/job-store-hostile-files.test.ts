import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';

import { safeFileName } from 'holdfast';
import type { HoldfastError } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { jobFiles, withStore } from '../helpers/job-store.js';

const mebibyte = 1024 * 1024;

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

function stateText(fields: string, changes: Record<string, unknown> = {}): string {
  const state = {
    ...{ holdfast_job: 1, id: 'a', revision: 1, updated_at: 1 },
    ...{ log: { file: null, bytes: 0, lines: 0 } },
    ...changes,
  };
  return `${JSON.stringify(state).slice(0, -1)},"fields":${fields}}`;
}

const plainFields = '{"status":"processing"}';

describe('JobStore, when a state file is hostile,', () => {
  test.each([
    ['is nested 20,000 deep', stateText(`{"status":"x","deep":${nested(20_000)}}`)],
    ['is nested two million deep', stateText(`{"status":"x","deep":${nested(2_000_000)}}`)],
    ['has a time that no Date can name', stateText(plainFields, { updated_at: 8.64e15 + 1 })],
    [
      'has an id that no caller can ask for',
      stateText(plainFields, { id: `a${' '.repeat(2000)}` }),
      safeFileName(`a${' '.repeat(2000)}`),
    ],
    [
      'counts more lines than its log has bytes',
      stateText(plainFields, { log: { file: 'a.1.log', bytes: 5, lines: 2 ** 52 } }),
    ],
  ])('names the job as ECORRUPT and goes on when it %s', async (_what, contents, name = 'a') => {
    await withStore(async (store, directory) => {
      await store.update('fine', { result: 1 });
      const file = path.join(directory, `${name}.json`);
      writeFileSync(file, contents);
      const corrupt: HoldfastError[] = [];
      const onCorrupt = (error: HoldfastError): void => void corrupt.push(error);
      if (name === 'a') {
        const expected = { name: 'HoldfastError', code: 'ECORRUPT', path: file };
        await expect(store.read('a', { logs: false })).rejects.toMatchObject(expected);
        await expect(store.update('a', { n: 1 })).rejects.toMatchObject(expected);
        await expect(store.remove('a')).rejects.toMatchObject(expected);
      }
      expect(await store.prune({ olderThan: 0, filter: () => false, onCorrupt })).toEqual([]);
      expect(corrupt).toMatchObject([{ code: 'ECORRUPT', path: file }]);
      await expect(store.prune({ olderThan: 0, filter: () => false })).rejects.toMatchObject({
        code: 'ECORRUPT',
      });
      expect(await store.read('fine')).toMatchObject({ result: 1 });
    });
  });

  test('refuses a change rather than writing a revision that nobody can read', () =>
    withStore(async (store, directory) => {
      await store.update('fine', {});
      const contents = stateText(plainFields, { revision: Number.MAX_SAFE_INTEGER });
      writeFileSync(path.join(directory, 'a.json'), contents);
      await expect(store.update('a', { n: 1 })).rejects.toThrow(RangeError);
      expect(await store.read('a')).toMatchObject({ revision: Number.MAX_SAFE_INTEGER });
    }));
});

describe('JobStore update, when a patch is nested too deep,', () => {
  test.each([1001, 5000, 200_000])('names the field and the bound at %d', async (depth) => {
    await withStore(async (store, directory) => {
      await store.update('a', { n: 1 });
      let deep: unknown = 1;
      for (let level = 0; level < depth; level++) deep = [deep];
      const rejected = await store.update('a', { deep }).catch((error: unknown) => error);
      expect(rejected).toBeInstanceOf(RangeError);
      expect((rejected as Error).message).toMatch(/field 'deep'.*1000/);
      expect(await store.read('a')).toMatchObject({ n: 1, revision: 1 });
      expect(jobFiles(directory)).toEqual(['a.json']);
    });
  });

  test('takes what is nested 1000 deep', () =>
    withStore(async (store) => {
      const deep = JSON.parse(nested(1000)) as unknown;
      await store.update('a', { deep });
      expect(await store.read('a')).toMatchObject({ deep });
    }));
});

describe('JobStore read, when a log is sparse,', () => {
  test('ends with ECORRUPT within the length of one line', async () => {
    await withStore(async (store, directory) => {
      await store.update('fine', {});
      const bytes = 512 * mebibyte;
      const log = { file: 'a.1.log', bytes, lines: 1 };
      writeFileSync(path.join(directory, 'a.json'), stateText(plainFields, { log }));
      const file = path.join(directory, log.file);
      const descriptor = openSync(file, 'w');
      ftruncateSync(descriptor, bytes);
      writeSync(descriptor, '\n', bytes - 1);
      closeSync(descriptor);

      const before = process.memoryUsage();
      let peak = 0;
      const watch = setInterval(() => {
        const { external, arrayBuffers } = process.memoryUsage();
        peak = Math.max(peak, external, arrayBuffers);
      }, 1);
      for (const logs of [true, { last: 1 }]) {
        const expected = { code: 'ECORRUPT', path: file };
        await expect(store.read('a', { logs })).rejects.toMatchObject(expected);
      }
      clearInterval(watch);
      expect(peak - before.external).toBeLessThan(128 * mebibyte);
    });
  });

  test('refuses two strings in one line', async () => {
    await withStore(async (store, directory) => {
      await store.update('fine', {});
      const text = '"x","y"\n';
      const log = { file: 'a.1.log', bytes: text.length, lines: 2 };
      writeFileSync(path.join(directory, 'a.json'), stateText(plainFields, { log }));
      writeFileSync(path.join(directory, log.file), text);
      await expect(store.read('a')).rejects.toMatchObject({ code: 'ECORRUPT' });
    });
  });
});
