import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, tryLock, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { mustBlock } from './helpers/must-block.js';
import { withFile } from './helpers/updated-file.js';

describe('an abort', () => {
  const reason = new Error('enough');

  test('before the call leaves everything alone', async () => {
    await withFile('old', async (file, directory) => {
      const signal = AbortSignal.abort(reason);
      await expect(updateFile(file, () => 'new', { signal })).rejects.toBe(reason);
      expect(readdirSync(directory)).toEqual(['file']);
    });
  });

  test('ends the wait for the lock', async () => {
    await withFile('old', async (file) => {
      const held = await lock(file);
      const controller = new AbortController();
      let called = 0;
      const update = updateFile(file, () => `${++called}`, { signal: controller.signal });
      const end = await mustBlock(
        update.catch((error: unknown) => error),
        'an update of a locked file',
      );
      controller.abort(reason);
      expect(await end()).toBe(reason);
      await held.release();
      // Nobody waits any more: the lock can be had at once, and the function is not called later.
      const next = await tryLock(file);
      expect(next).not.toBeNull();
      await next?.release();
      await sleep(20);
      expect(called).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('of one of several leaves the others alone', async () => {
    await withFile('', async (file) => {
      const held = await lock(file);
      const controller = new AbortController();
      const append = (letter: string) => (current: Buffer | null) => `${String(current)}${letter}`;
      const updates = [
        updateFile(file, append('a')),
        updateFile(file, append('b'), { signal: controller.signal }),
        updateFile(file, append('c')),
      ];
      const outcomes = Promise.allSettled(updates);
      controller.abort(reason);
      await expect(updates[1]).rejects.toBe(reason);
      await held.release();
      expect((await outcomes).map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      expect(readFileSync(file, 'utf8')).toBe('ac');
    });
  });

  test('while fn runs rejects at once, and its change is dropped', async () => {
    await withFile('old', async (file) => {
      const controller = new AbortController();
      let finish!: () => void;
      const blocked = new Promise<void>((resolve) => (finish = resolve));
      let inside!: () => void;
      const started = new Promise<void>((resolve) => (inside = resolve));
      const update = updateFile(
        file,
        async () => {
          inside();
          await blocked;
          return 'new';
        },
        { signal: controller.signal },
      );
      await started;
      controller.abort(reason);
      await expect(within(update, 'the abort')).rejects.toBe(reason);
      // The lock is kept until fn has ended: it may still be at work on what the lock protects.
      expect(await tryLock(file)).toBeNull();
      finish();
      await (await lock(file)).release();
      expect(readFileSync(file, 'utf8')).toBe('old');
    });
  });

  test('after fn has returned has no effect', async () => {
    await withFile('old', async (file) => {
      const controller = new AbortController();
      const first = updateFile(file, () => 'new', { signal: controller.signal });
      const second = updateFile(file, (current) => {
        controller.abort(reason);
        return `${String(current)} and newer`;
      });
      expect(String(await first)).toBe('new');
      await second;
      expect(readFileSync(file, 'utf8')).toBe('new and newer');
    });
  });
});
