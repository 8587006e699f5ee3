import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobStore } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withStore } from './helpers/job-store.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

describe('JobStore prune', () => {
  test.each([
    ['a promise', () => Promise.resolve(false)],
    ['a promise that rejects', () => Promise.reject(new Error('of the filter'))],
    ['undefined', () => undefined],
    ['a number', () => 1],
    ['a callable thenable', () => Object.assign(() => undefined, { then: () => undefined })],
  ])(
    'rejects with a TypeError and removes nothing when filter returns %s',
    async (_what, filter) => {
      await withStore(async (store) => {
        await store.update('a', {});
        await sleep(2);
        const options = { olderThan: 0, filter: filter as unknown as () => boolean };
        await expect(store.prune(options)).rejects.toThrow(/filter.*true or false/);
        await expect(store.prune(options)).rejects.toThrow(TypeError);
        expect(await store.list()).toEqual(['a']);
      });
    },
  );
});

describe('JobStore update', () => {
  test('rejects with a TypeError and writes nothing when validate returns a promise', () =>
    withTemporaryDirectory(async (directory) => {
      const validate = () => Promise.reject(new Error('of validate'));
      const store = new JobStore(directory, { validate });
      await expect(store.update('a', {})).rejects.toThrow(/validate.*promise/);
      const plain = new JobStore(directory);
      expect(await plain.read('a')).toBeNull();
      await plain.update('a', {});
      await expect(store.read('a')).rejects.toThrow(TypeError);
    }));

  test('throws from appendLog when the job function has returned', () =>
    withStore(async (store) => {
      let late: ((line: string) => void) | undefined;
      await store.update('a', (_current, appendLog) => {
        late = appendLog;
        appendLog('in time');
        return {};
      });
      expect(() => late?.('too late')).toThrow(/after the job function had returned/);
      expect(await store.read('a')).toMatchObject({ logs: ['in time'] });
    }));

  test('throws from appendLog when the job function has thrown', () =>
    withStore(async (store) => {
      let late: ((line: string) => void) | undefined;
      const update = store.update('a', (_current, appendLog) => {
        late = appendLog;
        throw new Error('of the function');
      });
      await expect(update).rejects.toThrow('of the function');
      expect(() => late?.('too late')).toThrow(TypeError);
    }));
});

describe('JobStore', () => {
  test('succeeds once the cause is gone when its directory could not be opened', () =>
    withTemporaryDirectory(async (parent) => {
      const directory = path.join(parent, 'store');
      mkdirSync(directory);
      const marker = path.join(directory, '.job-store.json');
      writeFileSync(marker, 'of somebody else');
      const store = new JobStore(directory);
      await expect(store.update('a', {})).rejects.toMatchObject({ code: 'ECORRUPT', path: marker });
      rmSync(marker);
      expect(await store.update('a', {})).toMatchObject({ revision: 1 });
    }));

  test('rejects each call with an error of its own when its directory cannot be opened', () =>
    withTemporaryDirectory(async (parent) => {
      const directory = path.join(parent, 'file');
      writeFileSync(directory, '');
      const store = new JobStore(directory);
      const outcomes = await Promise.allSettled(['a', 'a', 'b'].map((id) => store.update(id, {})));
      const errors = outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason as Error);
      expect(new Set(errors).size).toBe(3);
      for (const error of errors) expect(error).toBeInstanceOf(Error);
    }));

  test('keeps the order of calls when the first of them has to make the directory', () =>
    withStore(async (store) => {
      const numbers = Array.from({ length: 20 }, (_none, number) => number);
      await Promise.all(numbers.map((number) => store.appendLog('a', `${number}`)));
      expect(await store.read('a')).toMatchObject({ logs: numbers.map(String) });
    }));
});
