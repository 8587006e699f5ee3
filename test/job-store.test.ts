import { chmodSync, existsSync, readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { JobStore } from 'holdfast';
import type { JobFields, JobPatch } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { jobFiles, withStore } from './helpers/job-store.js';

describe('a job', () => {
  test('is null until something has happened to it', () =>
    withStore(async (store, directory) => {
      expect(await store.read('a')).toBeNull();
      expect(await store.read('a', { logs: false })).toBeNull();
      expect(await store.list()).toEqual([]);
      expect(await store.prune({ olderThan: 0 })).toEqual([]);
      expect(existsSync(directory), 'reading makes nothing').toBe(false);
      expect(await store.remove('a')).toBe(false);
      expect(await store.read('a')).toBeNull();
    }));

  test('is made with status processing by whatever comes first', () =>
    withStore(async (store) => {
      const before = Date.now();
      expect(await store.appendLog('by a line', 'hello')).toBe(1);
      expect(await store.update('by a patch', {})).toMatchObject({ status: 'processing' });
      await store.update('by a function', (job) => ({ wasThere: job !== null }));
      const [line, patch, fn] = await Promise.all(
        ['by a line', 'by a patch', 'by a function'].map((id) => store.read(id)),
      );
      const all = { status: 'processing', revision: 1 };
      expect(line).toEqual({
        ...all,
        ...{ id: 'by a line', logs: ['hello'], log_lines: 1, updated_at: line?.updated_at },
      });
      expect(line?.updated_at).toBeGreaterThanOrEqual(before);
      expect(line?.updated_at).toBeLessThanOrEqual(Date.now());
      expect(patch).toMatchObject({ ...all, id: 'by a patch', logs: [], log_lines: 0 });
      expect(fn).toMatchObject({ ...all, wasThere: false, logs: [] });
    }));

  test('has its last patch over those before: other fields stay, and undefined removes one', () =>
    withStore(async (store) => {
      await store.update('a', {
        status: 'queued',
        progress_pct: 5,
        by: 'pipeline',
        old: [1, { x: 2 }],
      });
      await store.update('a', { note: null, old: undefined });
      const job = await store.update('a', { status: 'completed', result: { pages: 3 } });
      expect(job).toEqual({
        ...{ id: 'a', revision: 3, updated_at: job.updated_at, log_lines: 0 },
        ...{
          status: 'completed',
          progress_pct: 5,
          by: 'pipeline',
          note: null,
          result: { pages: 3 },
        },
      });
      expect(await store.read('a')).toEqual({ ...job, logs: [] });
    }));

  test('is changed together with its log and its progress', () =>
    withStore(async (store) => {
      await store.appendLog('a', 'half', 50);
      expect(await store.read('a')).toMatchObject({
        progress_pct: 50,
        logs: ['half'],
        revision: 1,
      });
      await store.update('a', { status: 'failed' }, { log: ['no more paper', 'gave up'] });
      await store.update('a', (job, appendLog) => {
        appendLog(`was ${String(job?.status)}`);
        return { status: 'processing' };
      });
      expect(await store.read('a')).toMatchObject({
        ...{ status: 'processing', revision: 3, log_lines: 4 },
        logs: ['half', 'no more paper', 'gave up', 'was failed'],
      });
    }));

  test('is left alone by a function that returns undefined, and only then', () =>
    withStore(async (store) => {
      expect(await store.update('a', () => undefined, { log: 'not this one' })).toBeNull();
      expect(await store.read('a')).toBeNull();
      await store.update('a', { n: 1 });
      const same = await store.update('a', () => undefined, { log: 'nor this' });
      expect(same).toMatchObject({ revision: 1, log_lines: 0 });
      await store.update('a', (_job, appendLog) => {
        appendLog('but this');
        return undefined;
      });
      expect(await store.read('a')).toMatchObject({ revision: 2, logs: ['but this'], n: 1 });
    }));

  test('is nobody else’s: what callers hold may change, and the job does not', () =>
    withStore(async (store) => {
      const patch = { list: [1] };
      const updating = store.update('a', patch);
      patch.list.push(2);
      const job = await updating;
      (job.list as number[]).push(3);
      await store.update('a', (current) => {
        (current?.list as number[]).push(4);
        return { seen: true };
      });
      expect(await store.read('a')).toMatchObject({ list: [1], seen: true });
    }));

  test('keeps a field of any name', () =>
    withStore(async (store) => {
      const patch = JSON.parse(
        '{"__proto__": {"x": 1}, "constructor": 2, "": 3}',
      ) as JobPatch<JobFields>;
      await store.update('a', patch);
      const job = (await store.read('a')) as object;
      expect(Object.hasOwn(job, '__proto__')).toBe(true);
      expect(JSON.stringify(job)).toContain('"__proto__":{"x":1},"constructor":2,"":3');
    }));

  test('that is removed is gone with its log, and begins again at 1', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'first life');
      await store.appendLog('b', 'another');
      expect(await store.remove('a')).toBe(true);
      expect(await store.remove('a')).toBe(false);
      expect(await store.read('a')).toBeNull();
      expect(jobFiles(directory)).toHaveLength(2);
      await store.appendLog('a', 'second life');
      expect(await store.read('a')).toMatchObject({ revision: 1, logs: ['second life'] });
      expect(await store.list()).toEqual(['a', 'b']);
    }));
});

describe('a revision', () => {
  test('grows by one with every change, also with those that share a commit', () =>
    withStore(async (store) => {
      const revisions = await Promise.all(
        Array.from({ length: 20 }, (_, at) => store.appendLog('a', `${at}`)),
      );
      expect(revisions).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
      expect(await store.read('a', { logs: false })).toMatchObject({ revision: 20 });
    }));

  test('that is not the expected one keeps the change out, with its log', () =>
    withStore(async (store, directory) => {
      await store.update('a', { n: 1 }, { ifRevision: 0 });
      const late = store.update('a', { n: 2 }, { ifRevision: 0, log: 'too late' });
      await expect(late).rejects.toMatchObject({
        ...{ name: 'HoldfastError', code: 'ECONFLICT', refused: false },
        path: path.join(directory, 'a.json'),
      });
      await store.update('a', (job) => ({ n: Number(job?.n) + 1 }), { ifRevision: 1 });
      expect(await store.read('a')).toMatchObject({ n: 2, revision: 2, logs: [] });
    }));
});

describe('the lines of a log', () => {
  const odd = [
    '',
    'two\nlines',
    '\r\n\0\u2028',
    '"quoted\\"',
    '😀 \ud800',
    '[1]',
    'x'.repeat(200_000),
  ];

  test('come back as they were, whatever is in them', () =>
    withStore(async (store) => {
      for (const line of odd) await store.appendLog('a', line);
      await store.update('a', {}, { log: odd });
      expect((await store.read('a'))?.logs).toEqual([...odd, ...odd]);
    }));

  test('are read from one on, or the last ones, or not at all', () =>
    withStore(async (store) => {
      const lines = Array.from({ length: 5000 }, (_, at) => `line ${at} ${'.'.repeat(at % 97)}`);
      await store.update('a', {}, { log: lines });
      const read = async (logs: { after: number } | { last: number }) =>
        (await store.read('a', { logs }))?.logs;
      for (const count of [0, 1, 2, 700, 4999, 5000, 5001, Number.MAX_SAFE_INTEGER]) {
        expect(await read({ after: count }), `after ${count}`).toEqual(lines.slice(count));
        const last = count === 0 ? [] : lines.slice(-count);
        expect(await read({ last: count }), `last ${count}`).toEqual(last);
      }
      expect((await store.read('a', { logs: true }))?.logs).toEqual(lines);
      const without = await store.read('a', { logs: false });
      expect(without).toMatchObject({ log_lines: 5000 });
      expect(without).not.toHaveProperty('logs');
    }));
});

describe('files', () => {
  test.runIf(has('modes'))('have exactly the mode that was asked for, whatever the umask', () =>
    withStore(async (_store, directory) => {
      const umask = process.umask(0o777);
      try {
        for (const [mode, directoryMode] of [
          [undefined, 0o700],
          [0o664, 0o775],
        ] as const) {
          const place = path.join(directory, String(mode), 'deep');
          const store = new JobStore(place, { mode });
          await store.appendLog('a', 'one');
          await store.appendLog('a', 'two');
          for (const name of readdirSync(place)) {
            const found = statSync(path.join(place, name)).mode & 0o777;
            expect(found, name).toBe(mode ?? 0o600);
          }
          expect(statSync(place).mode & 0o777).toBe(directoryMode);
          expect(statSync(path.dirname(place)).mode & 0o777).toBe(directoryMode);
        }
      } finally {
        process.umask(umask);
      }
    }),
  );

  test.runIf(has('modes'))('leave an existing directory as it is', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      chmodSync(directory, 0o750);
      await new JobStore(directory).appendLog('b', 'one');
      expect(statSync(directory).mode & 0o777).toBe(0o750);
    }),
  );

  test('are made anew when somebody has removed the directory', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      await rm(directory, { recursive: true });
      expect(await store.read('a')).toBeNull();
      await expect(store.appendLog('a', 'two')).rejects.toMatchObject({ code: 'ENOENT' });
      await store.appendLog('a', 'three');
      expect(await store.read('a')).toMatchObject({ logs: ['three'], revision: 1 });
    }));

  test('are found by whatever spelling of the directory', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      const byUrl = new JobStore(pathToFileURL(directory));
      expect(byUrl.directory).toBe(directory);
      expect(await byUrl.read('a')).toMatchObject({ logs: ['one'] });
    }));
});

interface Counted extends JobFields {
  count: number;
}
const validate = (fields: unknown): void => {
  if (typeof (fields as Partial<Counted>).count !== 'number') throw new Error('no count');
};

describe('a check of what is written and read', () => {
  test('keeps out what it throws at, and nothing else', () =>
    withStore<Counted>(
      async (store, directory) => {
        const [bad, good] = await Promise.allSettled([
          store.appendLog('a', 'without a count'),
          store.update('a', { count: 1 }, { log: 'with one' }),
        ]);
        expect(bad).toMatchObject({ status: 'rejected', reason: { message: 'no count' } });
        expect(good).toMatchObject({ status: 'fulfilled', value: { count: 1, revision: 1 } });
        await store.appendLog('a', 'now it has');
        expect(await store.read('a')).toMatchObject({ logs: ['with one', 'now it has'] });

        await new JobStore(directory).update('a', { count: 'one' } as never);
        const corrupt = {
          ...{ code: 'ECORRUPT', path: path.join(directory, 'a.json') },
          cause: { message: 'no count' },
        };
        await expect(store.read('a')).rejects.toMatchObject(corrupt);
        await expect(store.update('a', { count: 2 })).rejects.toMatchObject(corrupt);
        expect(await new JobStore(directory).read('a')).toMatchObject({ count: 'one' });
      },
      { validate },
    ));
});

describe('what is not as it should be is said at once, and nothing is made', () => {
  const wrong: [what: string, call: (store: JobStore) => Promise<unknown>, message: RegExp][] = [
    ['an id', (store) => store.read(7 as never), /a job's id must be a string, got 7/],
    ['no id', (store) => store.appendLog('', 'line'), /a job's id must not be empty/],
    ['a long id', (store) => store.list().then(() => store.read('x'.repeat(1025))), /at most 1024/],
    ['a line', (store) => store.appendLog('a', 7 as never), /a line of a log must be a string/],
    ['a long line', (store) => store.appendLog('a', 'x'.repeat(2 ** 20 + 1)), /at most 1048576/],
    [
      'progress',
      (store) => store.appendLog('a', 'line', 101),
      /'progress_pct' must be from 0 to 100, got 101/,
    ],
    ['no number', (store) => store.appendLog('a', 'line', NaN), /from 0 to 100, got NaN/],
    ['a status', (store) => store.update('a', { status: 7 } as never), /'status' must be a string/],
    ['no status', (store) => store.update('a', { status: undefined }), /'status' must be a string/],
    ['a patch', (store) => store.update('a', [] as never), /a patch must be an object of fields/],
    [
      'its own',
      (store) => store.update('a', { revision: 1 } as never),
      /'revision' is the store's/,
    ],
    ['lines', (store) => store.update('a', { logs: [] } as never), /'logs' is the store's own/],
    [
      'a function',
      (store) => store.update('a', { result: () => 1 }),
      /'result' must be a value of/,
    ],
    ['a cycle', (store) => store.update('a', { result: cyclic() }), /circular/i],
    [
      'a promise',
      (store) => store.update('a', (() => Promise.resolve({})) as never),
      /must not be a promise/,
    ],
    ['a rejection', (store) => store.update('a', rejecting as never), /must not be a promise/],
    ['a null', (store) => store.update('a', (() => null) as never), /a patch must be an object/],
    ['an option', (store) => store.update('a', {}, { lock: 1 } as never), /unknown option 'lock'/],
    [
      'another’s',
      (store) => store.appendLog('a', 'b', 1, { log: 'c' } as never),
      /does not apply to/,
    ],
    [
      'a revision',
      (store) => store.update('a', {}, { ifRevision: -1 }),
      /'ifRevision' must be a whole/,
    ],
    [
      'logs',
      (store) => store.read('a', { logs: {} as never }),
      /'logs' must be a boolean, \{ after/,
    ],
    [
      'an end',
      (store) => store.read('a', { logs: { after: 0.5 } }),
      /'logs.after' must be a whole/,
    ],
    ['an age', (store) => store.prune({} as never), /'olderThan' must be a number of milli/],
    ['too much', (store) => store.update('a', { result: 'x'.repeat(2 ** 24) }), /at most 16777216/],
  ];

  test.each(wrong)('%s', async (_what, call, message) => {
    await withStore(async (store, directory) => {
      await expect(call(store)).rejects.toThrow(message);
      expect(existsSync(directory) ? jobFiles(directory) : []).toEqual([]);
      // The store is none the worse for it.
      expect(await store.appendLog('a', 'line')).toBe(1);
    });
  });

  test.each([
    [{ timeout: -1 }, /'timeout' must be 0 or more/],
    [{ mode: 0o400 }, /'mode' must be permission bits with owner read and write/],
    [{ durability: 'some' }, /'durability' must be 'none' or 'ordered' or 'full'/],
    [{ validate: 1 }, /'validate' must be a function/],
    [{ failOpen: true }, /unknown option 'failOpen'; JobStore knows timeout/],
    [{ session: 1 }, /'session' must be a string/],
  ])('an option of the store: %o', (options, message) => {
    expect(() => new JobStore('store', options as never)).toThrow(message);
  });

  function cyclic(): unknown {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    return cycle;
  }
  function rejecting(): Promise<never> {
    return Promise.reject(new Error('nobody hears of it'));
  }
});
