import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

import { lock, lockSync, replaceFile, updateFile } from 'holdfast';
import { expect, onTestFinished, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

function collectWarnings(): Error[] {
  const warnings: Error[] = [];
  const collect = (warning: Error) => warnings.push(warning);
  process.on('warning', collect);
  onTestFinished(() => {
    process.off('warning', collect);
  });
  return warnings;
}

test('lock, updateFile and replaceFile warn of nothing when 50 calls share a signal', () =>
  withTemporaryDirectory(async (directory) => {
    const warnings = collectWarnings();
    const controller = new AbortController();
    const { signal } = controller;
    const file = path.join(directory, 'file');
    const held = lockSync(file);
    const calls: Promise<unknown>[] = [];
    for (let index = 0; index < 50; index++) {
      calls.push(lock(file, { signal }));
      calls.push(updateFile(file, () => 'x', { signal, timeout: 60_000 + index }));
      calls.push(replaceFile(path.join(directory, `${index}`), new PassThrough(), { signal }));
    }
    const results = Promise.allSettled(calls);
    await turn();
    const reason = new Error('enough');
    controller.abort(reason);
    for (const result of await results) {
      expect(result).toMatchObject({ status: 'rejected' });
      expect((result as PromiseRejectedResult).reason).toBe(reason);
    }
    held.releaseSync();
    await turn();
    expect(warnings).toEqual([]);
  }));

test('lock stops listening to a signal when the last call that shares it has settled', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const controller = new AbortController();
    const counted = controller.signal;
    let listening = 0;
    const add = counted.addEventListener.bind(counted);
    const remove = counted.removeEventListener.bind(counted);
    counted.addEventListener = (...args: Parameters<typeof add>) => {
      listening++;
      add(...args);
    };
    counted.removeEventListener = (...args: Parameters<typeof remove>) => {
      listening--;
      remove(...args);
    };
    const held = lockSync(file);
    const waiting = [lock(file, { signal: counted }), lock(file, { signal: counted })];
    await turn();
    expect(listening).toBe(1);
    held.releaseSync();
    for (const next of waiting) await (await next).release();
    expect(listening).toBe(0);
  }));

test('lock refuses a signal that lacks the methods of an AbortSignal', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const held = lockSync(file);
    for (const signal of [
      { aborted: false },
      { aborted: false, addEventListener: () => undefined },
    ]) {
      await expect(lock(file, { signal: signal as unknown as AbortSignal })).rejects.toThrow(
        "option 'signal' must be an AbortSignal",
      );
    }
    held.releaseSync();
  }));
