import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { JobStore } from 'holdfast';
import type { HoldfastError } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { jobFiles, logOf, withStore } from './helpers/job-store.js';
import { ordinaryUser } from './helpers/ordinary-user.js';

/** A state file as the store writes it, but for what is given. */
function state(changes: Record<string, unknown> = {}): string {
  return JSON.stringify({
    ...{ holdfast_job: 1, id: 'a', revision: 1, updated_at: 1 },
    ...{ log: { file: null, bytes: 0, lines: 0 }, fields: { status: 'processing' } },
    ...changes,
  });
}
/** What is put in the place of a log, and how that is refused. */
type Planted = [what: string, plant: (file: string, precious: string) => void, code: string];

const log = (file: unknown, bytes: unknown = 5, lines: unknown = 1) => ({
  log: { file, bytes, lines },
});

describe('a file where the state of a job should be', () => {
  test.each([
    ['nothing', ''],
    ['zeros, as a crash of the system leaves them', '\0'.repeat(200)],
    ['half of a state', state().slice(0, 60)],
    ['no object', '[1, 2, 3]'],
    ['somebody’s data', '{"name": "package"}'],
    ['of a later version', state({ holdfast_job: 2 })],
    ['of another job', state({ id: 'b' })],
    ['without a revision', state({ revision: undefined })],
    ['with half a revision', state({ revision: 1.5 })],
    ['without a log', state({ log: null })],
    ['whose log is elsewhere', state(log('../a.1.log'))],
    ['whose log is another job’s', state(log('b.1.log'))],
    ['whose log is another file', state(log('a.json'))],
    ['whose log has no length', state(log('a.1.log', -1))],
    ['whose log is none and has lines', state(log(null))],
    ['without fields', state({ fields: [] })],
    ['without a status', state({ fields: {} })],
    ['with too much progress', state({ fields: { status: 'x', progress_pct: 1e9 } })],
  ])('with %s, is reported by every call and never written to', async (_what, contents) => {
    await withStore(async (store, directory) => {
      await store.appendLog('b', 'fine');
      const file = path.join(directory, 'a.json');
      writeFileSync(file, contents);
      const before = jobFiles(directory);
      const calls = [
        () => store.read('a'),
        () => store.read('a', { logs: false }),
        () => store.update('a', { n: 1 }),
        () => store.update('a', () => undefined),
        () => store.appendLog('a', 'line'),
        () => store.remove('a'),
      ];
      for (const call of calls) {
        const error = (await call().catch((reason: unknown) => reason)) as HoldfastError;
        expect(error).toMatchObject({ name: 'HoldfastError', code: 'ECORRUPT', path: file });
        expect(error.message).toContain(`'${file}'`);
      }
      expect(readFileSync(file, 'utf8')).toBe(contents);
      expect(jobFiles(directory)).toEqual(before);
      expect(await store.read('b')).toMatchObject({ logs: ['fine'] });
    });
  });

  test('keeps nobody from the list and the retention of the others', () =>
    withStore(async (store, directory) => {
      for (const id of ['A', 'b', 'C']) await store.appendLog(id, 'line');
      const names = jobFiles(directory).filter((name) => name.endsWith('.json'));
      const damaged = names.find((name) => name.startsWith('a-')) ?? '';
      writeFileSync(path.join(directory, damaged), 'damaged');
      writeFileSync(path.join(directory, 'NOTES.txt'), 'not of the store');
      const corrupt = { code: 'ECORRUPT', path: path.join(directory, damaged) };

      await expect(store.list()).rejects.toMatchObject(corrupt);
      const told: HoldfastError[] = [];
      const onCorrupt = (error: HoldfastError) => void told.push(error);
      expect(await store.list({ onCorrupt })).toEqual(['C', 'b']);
      expect(told).toMatchObject([corrupt]);

      const old = { olderThan: 0 };
      await new Promise((resolve) => setTimeout(resolve, 3));
      await expect(store.prune(old)).rejects.toMatchObject(corrupt);
      // The others are gone all the same; of the damaged one even the log is left.
      expect(jobFiles(directory).filter((name) => name.startsWith('a-'))).toHaveLength(2);
      expect(jobFiles(directory)).toHaveLength(3);
      expect(await store.prune({ ...old, onCorrupt })).toEqual([]);
      expect(told).toMatchObject([corrupt, corrupt]);
    }));

  test.runIf(has('symlinks'))('that is a link is refused, and what it leads to stays', () =>
    withStore(async (store, directory) => {
      await store.appendLog('b', 'fine');
      const secret = path.join(directory, '..', 'secret');
      writeFileSync(secret, state());
      symlinkSync(secret, path.join(directory, 'a.json'));
      for (const call of [() => store.read('a'), () => store.update('a', { n: 1 })]) {
        await expect(call()).rejects.toMatchObject({ code: 'ELOOP', refused: true });
      }
      expect(readFileSync(secret, 'utf8')).toBe(state());
    }),
  );
});

describe('a log', () => {
  const damages: [what: string, damage: (file: string) => void, reason: RegExp][] = [
    ['gone', (file) => unlinkSync(file), /the log of a job is gone/],
    ['shorter than what counts of it', (file) => truncateSync(file, 5), /shorter|5 bytes instead/],
  ];
  test.each(damages)(
    'that is %s is reported, and not written to',
    async (_what, damage, reason) => {
      await withStore(async (store, directory) => {
        await store.appendLog('a', 'line');
        const file = logOf(directory, 'a');
        damage(file);
        const before = jobFiles(directory);
        for (const call of [() => store.read('a'), () => store.appendLog('a', 'another')]) {
          const error = (await call().catch((failure: unknown) => failure)) as HoldfastError;
          expect(error).toMatchObject({ code: 'ECORRUPT', path: file });
          expect(error.message).toMatch(reason);
        }
        expect(jobFiles(directory)).toEqual(before);
        // The job itself is none the worse.
        expect(await store.read('a', { logs: false })).toMatchObject({ revision: 1, log_lines: 1 });
        expect(await store.update('a', { status: 'failed' })).toMatchObject({ revision: 2 });
        expect(await store.remove('a')).toBe(true);
      });
    },
  );

  test.each([
    ['other bytes', '"line"\n"lin\u0001"\n'],
    ['no line of text', '"line"\n[1,2,"]\n'],
    ['a line too few', '"line and line"\n'],
    ['a line too many', '"line"\n"li"\n"e"\n'],
    ['no end', '"line"\n"line" '],
  ])('that holds %s is reported', async (_what, contents) => {
    await withStore(async (store, directory) => {
      await store.update('a', {}, { log: ['line', 'line'] });
      const file = logOf(directory, 'a');
      const size = readFileSync(file).length;
      writeFileSync(file, contents.padEnd(size, '\n').slice(0, Math.max(size, contents.length)));
      await expect(store.read('a')).rejects.toMatchObject({ code: 'ECORRUPT', path: file });
    });
  });

  test('is read to where its state counts, and what lies behind is written over', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      const file = logOf(directory, 'a');
      writeFileSync(file, '"of an append that a crash cut sho', { flag: 'a' });
      expect((await store.read('a'))?.logs).toEqual(['one']);
      expect((await store.read('a', { logs: { last: 5 } }))?.logs).toEqual(['one']);
      await store.appendLog('a', 'two');
      expect(readFileSync(file, 'utf8')).toBe('"one"\n"two"\n');
    }));

  test('that a crash has left without a job goes with the next prune', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      for (const name of ['a.17.log', 'b.17.log'])
        writeFileSync(path.join(directory, name), '"x"\n');
      writeFileSync(path.join(directory, 'b.log'), 'not of the store');
      expect(await store.prune({ olderThan: Infinity })).toEqual([]);
      const left = jobFiles(directory);
      expect(left).toHaveLength(3);
      expect(left).toEqual([path.basename(logOf(directory, 'a')), 'a.json', 'b.log']);
      expect(await store.read('a')).toMatchObject({ logs: ['one'] });
    }));

  const link: Planted = ['a symbolic link', (file, to) => symlinkSync(to, file), 'ELOOP'];
  const planted: Planted[] = [
    ...(has('symlinks') ? [link] : []),
    ['another name of a file', (file, precious) => linkSync(precious, file), 'EMLINK'],
    ['a directory', (file) => mkdirSync(file), 'EINVAL'],
  ];
  test.each(planted)('in whose place there is %s is refused', async (_what, plant, code) => {
    await withStore(async (store, directory) => {
      await store.appendLog('a', 'one');
      const file = logOf(directory, 'a');
      const precious = path.join(directory, '..', 'precious');
      writeFileSync(precious, 'precious');
      unlinkSync(file);
      plant(file, precious);
      const refusal = { code, refused: true, path: file };
      await expect(store.appendLog('a', 'two')).rejects.toMatchObject(refusal);
      expect(readFileSync(precious, 'utf8')).toBe('precious');
      expect(await store.read('a', { logs: false })).toMatchObject({ revision: 1 });
    });
  });

  test.runIf(has('ordinaryUser'))(
    'of somebody else, in a directory that others can write, is refused',
    () =>
      withStore(async (store, directory) => {
        await store.appendLog('a', 'one');
        chmodSync(directory, 0o777);
        const file = logOf(directory, 'a');
        chownSync(file, ordinaryUser.uid, ordinaryUser.gid);
        await expect(store.appendLog('a', 'two')).rejects.toMatchObject({
          code: 'EPERM',
          refused: true,
        });
        expect(readFileSync(file, 'utf8')).toBe('"one"\n');
        const trusting = new JobStore(directory, { owners: 'any' });
        await trusting.appendLog('a', 'two');
        expect(readFileSync(file, 'utf8')).toBe('"one"\n"two"\n');
      }),
  );
});

describe('the directory', () => {
  test('of another version of the store is left alone', () =>
    withStore(async (store, directory) => {
      mkdirSync(directory);
      const file = path.join(directory, '.job-store.json');
      writeFileSync(file, '{"holdfast_job_store":2}\n');
      await expect(store.appendLog('a', 'line')).rejects.toMatchObject({
        ...{ name: 'HoldfastError', code: 'ECORRUPT', path: file },
      });
      expect(jobFiles(directory)).toEqual([]);
    }));

  test('that is a file is an error of the system', () =>
    withStore(async (store, directory) => {
      writeFileSync(directory, '');
      await expect(store.appendLog('a', 'line')).rejects.toMatchObject({ code: 'ENOTDIR' });
      await expect(store.read('a')).rejects.toMatchObject({ code: 'ENOTDIR' });
    }));

  test.runIf(has('symlinks'))('behind a link is refused if that was asked for', () =>
    withStore(async (store, directory) => {
      await store.appendLog('a', 'line');
      const link = path.join(directory, '..', 'link');
      symlinkSync(directory, link);
      expect(await new JobStore(link).read('a')).toMatchObject({ logs: ['line'] });
      const wary = new JobStore(link, { parents: 'refuse-links' });
      for (const call of [() => wary.read('a'), () => wary.appendLog('a', 'line')]) {
        await expect(call()).rejects.toMatchObject({ code: 'ELOOP', refused: true });
      }
    }),
  );
});
