import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, updateFile } from 'holdfast';
import { afterEach, describe, expect, test, vi } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { withFile } from './helpers/updated-file.js';

describe('the time limit', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('is 30 seconds when none is given', async () => {
    await withFile('old', async (file) => {
      const held = await lock(file);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
      const outcome = updateFile(file, () => 'new').catch((error: unknown) => error);
      let settled = false;
      void outcome.then(() => (settled = true));
      await vi.advanceTimersByTimeAsync(29_900);
      expect(settled).toBe(false);
      await vi.advanceTimersByTimeAsync(200);
      expect(await outcome).toMatchObject({
        code: 'ETIMEDOUT',
        holder: { pid: process.pid, self: true },
      });
      vi.useRealTimers();
      await held.release();
    });
  });

  test('ends an update inside the function of another one of the same file', async () => {
    await withFile('old', async (file) => {
      const inner: unknown[] = [];
      const nested = 'wait' as const;
      for (const options of [
        { nested, timeout: 700 },
        { nested, timeout: 600, durability: 'none' as const },
      ]) {
        await within(
          updateFile(
            file,
            async () => {
              inner.push(
                await updateFile(file, () => 'inner', options).catch((error: unknown) => error),
              );
              return 'outer';
            },
            { timeout: 700 },
          ),
          'an update inside an update',
        );
      }
      for (const error of inner) {
        expect(error).toMatchObject({ code: 'ETIMEDOUT', holder: { pid: process.pid } });
      }
      expect(inner).toHaveLength(2);
      expect(readFileSync(file, 'utf8')).toBe('outer');
    });
  });

  test('does not count the time that fn takes', async () => {
    await withFile('old', async (file) => {
      await updateFile(
        file,
        async () => {
          await sleep(1100);
          return 'new';
        },
        { timeout: 1000 },
      );
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });
});
