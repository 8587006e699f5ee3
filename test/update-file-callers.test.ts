import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobStore, lock, updateFile, updateJson } from 'holdfast';
import type { WaitInfo } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { withFile } from './helpers/updated-file.js';

interface Counter {
  n: number;
}

describe('calls that share a round', () => {
  test('updateJson resolves with what its own function made when calls share a commit', async () => {
    await withFile('{"n":0}', async (file) => {
      const calls = Array.from({ length: 5 }, () =>
        updateJson<Counter>(file, (current) => ({ n: (current?.n ?? 0) + 1 })),
      );
      const results = await Promise.all(calls);
      expect(results.map((result) => result?.n)).toEqual([1, 2, 3, 4, 5]);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ n: 5 });
    });
  });

  test('updateFile resolves with what its function was given when it leaves the file alone', async () => {
    await withFile('0', async (file) => {
      const results = await Promise.all([
        updateFile(file, () => '1'),
        updateFile(file, () => undefined),
        updateFile(file, () => '2'),
      ]);
      expect(results.map(String)).toEqual(['1', '1', '2']);
    });
  });

  test('updateFile resolves with what its function returned when another call changes that buffer', async () => {
    await withFile('0', async (file) => {
      const shared = Buffer.from('a');
      const results = await Promise.all([
        updateFile(file, () => shared),
        updateFile(file, (current) => {
          shared.fill('x');
          return `${String(current)}b`;
        }),
      ]);
      expect(results.map(String)).toEqual(['a', 'ab']);
    });
  });

  test('updateFile calls each onWait, in the context of its caller, when the lock is held', async () => {
    await withFile('', async (file) => {
      const context = new AsyncLocalStorage<string>();
      const held = await lock(file);
      const seen: [string, string | undefined, WaitInfo][] = [];
      const update = (name: string) =>
        context.run(name, () =>
          updateFile(file, (current) => `${String(current)}${name}`, {
            onWait: (info) => seen.push([name, context.getStore(), info]),
          }),
        );
      const first = update('a');
      const end = await mustBlock(first, 'an update of a locked file');
      const later = [update('b'), update('c')];
      // Each is told at once; the one that came first may have been told again by now.
      expect(new Set(seen.map(([name]) => name))).toEqual(new Set(['a', 'b', 'c']));
      for (const [name, store, info] of seen) {
        expect(store).toBe(name);
        expect(info).toMatchObject({ target: file, holder: { pid: process.pid } });
      }
      const holders = seen.map(([, , { holder }]) => holder);
      expect(new Set(holders).size).toBe(holders.length);
      await held.release();
      await end();
      await Promise.all(later);
      expect(readFileSync(file, 'utf8')).toBe('abc');
    });
  });

  test('updateFile rejects only the call whose onWait throws', async () => {
    await withFile('', async (file) => {
      const held = await lock(file);
      const error = new Error('mine');
      const append = (letter: string) => (current: Buffer | null) => `${String(current)}${letter}`;
      const first = updateFile(file, append('a'), {
        onWait: () => {
          throw error;
        },
      });
      const second = updateFile(file, append('b'), { onWait: () => undefined });
      const third = updateFile(file, append('c'));
      await expect(first).rejects.toBe(error);
      await held.release();
      await Promise.all([second, third]);
      expect(readFileSync(file, 'utf8')).toBe('bc');
    });
  });

  test('updateFile rejects each call with an error of its own when their round fails', async () => {
    await withFile('old', async (file) => {
      const outcomes = await Promise.allSettled([
        updateFile(file, () => 'a'),
        updateFile(file, () => {
          linkSync(file, `${file}2`);
          return 'b';
        }),
        updateFile(file, () => 'c'),
      ]);
      expectErrorsOfTheirOwn(outcomes, { name: 'HoldfastError', code: 'EMLINK', refused: true });
    });
  });

  test('updateFile rejects each call with an error of its own when the lock cannot be taken', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'absent', 'file');
      const updates = [1, 2, 3].map(() => updateFile(file, () => 'a'));
      const outcomes = await Promise.allSettled(updates);
      expectErrorsOfTheirOwn(outcomes, { code: 'ENOENT', syscall: 'open' });
    });
  });

  test('JobStore rejects each change with an error of its own when their round fails', async () => {
    await withTemporaryDirectory(async (directory) => {
      const store = new JobStore(directory);
      await store.update('job', { status: 'processing' });
      writeFileSync(path.join(directory, 'job.json'), 'torn');
      const changes = [1, 2, 3].map((n) => store.update('job', { status: 'processing', n }));
      expectErrorsOfTheirOwn(await Promise.allSettled(changes), { code: 'ECORRUPT' });
    });
  });

  test('the lock of a round is taken in no caller’s asynchronous context', async () => {
    await withFile('', async (file) => {
      const context = new AsyncLocalStorage<string>();
      const stores: unknown[] = [];
      const note = (): void => {
        stores.push(context.getStore());
      };
      subscribe('holdfast:contended', note);
      try {
        const held = await lock(file);
        const first = context.run('a', () => updateFile(file, () => 'a'));
        const end = await mustBlock(first, 'an update of a locked file');
        const second = context.run('b', () => updateFile(file, () => 'b'));
        await held.release();
        await end();
        await second;
        expect(stores).toEqual([undefined]);
      } finally {
        unsubscribe('holdfast:contended', note);
      }
    });
  });

  test('updateFile calls onWait of a call that waits for the round of another', async () => {
    await withFile('', async (file) => {
      let release!: () => void;
      const entered = new Promise<void>((resolve) => {
        void updateFile(file, async () => {
          resolve();
          await new Promise<void>((go) => {
            release = go;
          });
          return 'a';
        });
      });
      await entered;
      const told = new Promise<WaitInfo>((resolve) => {
        void updateFile(file, () => 'b', { onWait: resolve });
      });
      expect(await told).toMatchObject({ target: file, holder: { self: true } });
      release();
      await updateFile(file, () => 'c');
      expect(readFileSync(file, 'utf8')).toBe('c');
    });
  });
});

describe('the options of an update', () => {
  test('updateFile takes one lock when the working directory changes between its rounds', async () => {
    await withTemporaryDirectory(async (directory) => {
      const before = process.cwd();
      const other = path.join(directory, 'other');
      mkdirSync(other);
      writeFileSync(path.join(directory, 'file'), '');
      process.chdir(directory);
      try {
        const options = { lockPath: 'the.lock', within: '.' };
        const file = path.join(directory, 'file');
        const first = updateFile(
          file,
          async () => {
            process.chdir(other);
            // Longer than a round, so that the next call is served by another one.
            await sleep(60);
            return 'a';
          },
          options,
        );
        const second = updateFile(file, (current) => `${String(current)}b`, options);
        await Promise.all([first, second]);
        expect(readdirSync(other)).toEqual([]);
        expect(readFileSync(file, 'utf8')).toBe('ab');
      } finally {
        process.chdir(before);
      }
    });
  });

  test('updateFile does not share a round when equal relative options mean different places', async () => {
    await withTemporaryDirectory(async (directory) => {
      const before = process.cwd();
      const file = path.join(directory, 'file');
      for (const name of ['one', 'two']) mkdirSync(path.join(directory, name));
      writeFileSync(file, '');
      try {
        const updates = ['one', 'two'].map((name) => {
          process.chdir(path.join(directory, name));
          return updateFile(file, (current) => `${String(current)}${name}`, {
            lockPath: 'the.lock',
          });
        });
        await Promise.all(updates);
        for (const name of ['one', 'two']) {
          expect(readdirSync(path.join(directory, name))).toEqual(['the.lock']);
        }
      } finally {
        process.chdir(before);
      }
    });
  });
});

test('updateFile rejects and changes nothing when it is aborted while a link is followed', async () => {
  await withFile('old', async (file) => {
    symlinkSync(file, `${file}.link`);
    const controller = new AbortController();
    const reason = new Error('enough');
    const update = updateFile(`${file}.link`, () => 'new', {
      links: 'follow',
      signal: controller.signal,
    });
    controller.abort(reason);
    await expect(update).rejects.toBe(reason);
    await updateFile(file, () => undefined);
    expect(readFileSync(file, 'utf8')).toBe('old');
  });
});

function expectErrorsOfTheirOwn(
  outcomes: PromiseSettledResult<unknown>[],
  shape: Record<string, unknown>,
): void {
  const errors = outcomes.map((outcome): unknown =>
    outcome.status === 'rejected' ? outcome.reason : null,
  );
  for (const error of errors) {
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject(shape);
    expect((error as Error).stack).toContain((error as Error).message);
    // As everything that can be thrown: an error for structuredClone(), too.
    expect(structuredClone(error)).toBeInstanceOf(Error);
  }
  expect(new Set(errors).size).toBe(outcomes.length);
}
