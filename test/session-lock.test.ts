import { readFile, readdir, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';

import { SessionLock } from 'holdfast';
import type { SessionLockReason } from 'holdfast';
import { describe, expect, test } from 'vitest';

import {
  adversarialIds,
  fieldsOfAge,
  hour,
  sessionFields,
  sessionFileOf,
  sha256,
} from './helpers/session-file.js';
import { withSessionPath } from './helpers/session-lock.js';

describe('a session lock', () => {
  test('is created, told from another session’s, renewed and released', async () => {
    await withSessionPath(async (file, directory) => {
      const tool = new SessionLock(file);
      const hook = new SessionLock(file);
      expect(await hook.status({ session: 's-1' })).toEqual({
        ...{ path: file, reason: 'absent', expired: false, record: null },
      });
      expect(await readdir(directory)).toEqual([]);

      const before = Date.now();
      const created = await tool.create({ session: 's-1', ttl: hour });
      expect(created).toMatchObject({ changed: true, found: { reason: 'absent' } });
      const { reason, expired, record } = await hook.status({ session: 's-1' });
      expect({ reason, expired }).toEqual({ reason: 'own', expired: false });
      expect(record).toMatchObject({ session: 's-1', sessionHash: sha256('s-1'), ttl: hour });
      expect(record).toMatchObject({ pid: process.pid, host: hostname() });
      expect(record?.createdAt.getTime()).toBeGreaterThanOrEqual(before);
      expect(record?.renewedAt).toEqual(record?.createdAt);
      expect(await hook.status({ session: 's-2' })).toMatchObject({ reason: 'foreign', record });

      expect(await hook.renew({ session: 's-2' })).toMatchObject({
        ...{ changed: false, found: { reason: 'foreign' } },
      });
      expect(await hook.release({ session: 's-2' })).toMatchObject({ changed: false });
      expect(await hook.read()).toEqual(record);

      expect(await hook.renew({ session: 's-1', ttl: 2 * hour })).toMatchObject({ changed: true });
      const renewed = await hook.read();
      expect(renewed).toEqual({ ...record, ttl: 2 * hour, renewedAt: renewed?.renewedAt });
      expect(Number(renewed?.renewedAt)).toBeGreaterThanOrEqual(Number(record?.renewedAt));

      expect(await hook.release({ session: 's-1' })).toMatchObject({
        ...{ changed: true, found: { reason: 'own', record: renewed } },
      });
      expect(await tool.status({ session: 's-1' })).toMatchObject({ reason: 'absent' });
      expect(await tool.read()).toBeNull();
      expect(await readdir(directory)).toEqual(['.tool.lock.lock']);
    });
  });

  test('is created once, whatever is there, and has a higher token each time', async () => {
    await withSessionPath(async (file) => {
      const tool = new SessionLock(file);
      const tokens: number[] = [];
      for (let round = 0; round < 3; round++) {
        expect((await tool.create({ session: 's-1', ttl: hour })).changed).toBe(true);
        tokens.push((await tool.read())?.token ?? 0);
        expect(await tool.create({ session: 's-1' })).toMatchObject({
          ...{ changed: false, found: { reason: 'own', record: { token: tokens.at(-1) } } },
        });
        expect(await new SessionLock(file).create({ session: 's-2' })).toMatchObject({
          ...{ changed: false, found: { reason: 'foreign' } },
        });
        expect((await tool.release({ session: 's-1' })).changed).toBe(true);
      }
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    });
  });

  test('that has expired is still its session’s own, until somebody breaks it', async () => {
    await withSessionPath(async (file) => {
      const own = { ...fieldsOfAge(2 * hour), ...sessionFields('s-1') };
      await writeFile(file, sessionFileOf(own));
      const tool = new SessionLock(file);
      expect(await tool.status({ session: 's-1' })).toMatchObject({ reason: 'own', expired: true });
      expect(await tool.status({ session: 's-2' })).toMatchObject({
        ...{ reason: 'ttl-expired', expired: true, record: { session: 's-1' } },
      });
      // Its session has come back in time.
      expect((await tool.renew({ session: 's-1' })).changed).toBe(true);
      expect(await tool.breakStale({ session: 's-2' })).toMatchObject({
        ...{ changed: false, found: { reason: 'foreign', expired: false } },
      });

      await writeFile(file, sessionFileOf(own));
      expect(await tool.breakStale({ session: 's-2' })).toMatchObject({
        ...{ changed: true, found: { reason: 'ttl-expired' } },
      });
      expect((await tool.create({ session: 's-2' })).changed).toBe(true);
      // And the one whose lock was broken finds out.
      expect(await tool.renew({ session: 's-1' })).toMatchObject({
        ...{ changed: false, found: { reason: 'foreign', record: { session: 's-2' } } },
      });
    });
  });

  test('has 30 seconds by default', async () => {
    await withSessionPath(async (file) => {
      await new SessionLock(file).create({ session: 's-1' });
      expect((await new SessionLock(file).read())?.ttl).toBe(30_000);
    });
  });

  test('is released by its session only, not by one whose id is sanitized to the same', async () => {
    await withSessionPath(async (file) => {
      await new SessionLock(file).create({ session: 'a/b', ttl: hour });
      const hook = new SessionLock(file);
      for (const session of ['a_b', 'a\\b', 'a b', 'A/b', 'a/b/', 'a/B']) {
        expect(await hook.status({ session }), session).toMatchObject({ reason: 'foreign' });
        expect((await hook.release({ session })).changed, session).toBe(false);
      }
      expect((await hook.release({ session: 'a/b' })).changed).toBe(true);
    });
  });

  test.each(adversarialIds)('for a session called %j is one file with one session', async (id) => {
    await withSessionPath(async (file, directory) => {
      await new SessionLock(file).create({ session: id, ttl: hour });
      const hook = new SessionLock(file);
      expect(await hook.status({ session: id })).toMatchObject({ reason: 'own', expired: false });
      expect(await hook.status({ session: 'victim' })).toMatchObject({ reason: 'foreign' });
      const text = await readFile(file, 'utf8');
      expect(text).toMatch(/^[a-z_0-9]+=[ -~]+(\n[a-z_]+=[ -~]+){8}\n$/);
      expect(text).toMatch(/^session_id=[A-Za-z0-9_-]{1,128}$/m);
      expect((await readdir(directory)).sort()).toEqual(['.tool.lock.lock', 'tool.lock']);
      expect((await hook.release({ session: id })).changed).toBe(true);
    });
  });

  test('of ids that differ in lone surrogates alone, which UTF-8 cannot say, is told apart', async () => {
    await withSessionPath(async (file) => {
      await new SessionLock(file).create({ session: 'a\ud800', ttl: hour });
      const hook = new SessionLock(file);
      expect(await hook.status({ session: 'a\ud800' })).toMatchObject({ reason: 'own' });
      for (const session of ['a\ud801', 'a\ufffd', 'a_']) {
        expect(await hook.status({ session })).toMatchObject({ reason: 'foreign' });
      }
    });
  });
});

describe('without a session id', () => {
  test.each([[undefined], [null], [''], ['unknown']])(
    '(%j) the line is left out, and recovery is by the ttl alone',
    async (session) => {
      await withSessionPath(async (file) => {
        const tool = new SessionLock(file);
        expect((await tool.create({ session, ttl: hour })).changed).toBe(true);
        expect(await readFile(file, 'utf8')).not.toMatch(/session_id|session_hash|unknown/);
        const hook = new SessionLock(file);
        for (const asking of [undefined, null, '', 'unknown', 's-1']) {
          expect(await hook.status({ session: asking }), String(asking)).toMatchObject({
            ...{ reason: 'no-session', expired: false, record: { session: null } },
          });
          expect((await hook.release({ session: asking })).changed).toBe(false);
          expect((await hook.breakStale({ session: asking })).changed).toBe(false);
        }
        // The object that created it knows it by its token.
        expect(await tool.status()).toMatchObject({ reason: 'own' });
        expect((await tool.renew({ ttl: 1 })).changed).toBe(true);
        await expect.poll(() => hook.status({ session })).toMatchObject({ reason: 'ttl-expired' });
        expect((await hook.breakStale({ session })).changed).toBe(true);
        expect((await tool.renew()).found.reason).toBe('absent');
      });
    },
  );

  test('whoever asks goes by the ttl of another’s lock, and unknown is nobody', async () => {
    await withSessionPath(async (file) => {
      const hook = new SessionLock(file);
      await writeFile(file, sessionFileOf(fieldsOfAge(0, sessionFields('s-1'))));
      for (const session of [undefined, null, '', 'unknown']) {
        expect(await hook.status({ session })).toMatchObject({ reason: 'no-session' });
      }
      // Another program may have written it.
      await writeFile(file, sessionFileOf(fieldsOfAge(0, sessionFields('unknown'))));
      for (const session of ['unknown', 's-1']) {
        expect(await hook.status({ session })).toMatchObject({ reason: 'no-session' });
      }
      await writeFile(file, sessionFileOf(fieldsOfAge(2 * hour, sessionFields('s-1'))));
      expect(await hook.status()).toMatchObject({ reason: 'ttl-expired', expired: true });
      expect((await hook.breakStale()).changed).toBe(true);
    });
  });
});

describe('the clock', () => {
  const ttl = hour;
  test.each<[string, number, SessionLockReason]>([
    ['just renewed', 0, 'foreign'],
    ['within its ttl', ttl / 2, 'foreign'],
    ['past its ttl', ttl + 1, 'ttl-expired'],
    ['long past', 1_600_000_000_000, 'ttl-expired'],
    ['a little ahead, by another clock', -ttl / 2, 'foreign'],
    ['further ahead than a ttl', -2 * hour, 'ttl-expired'],
    ['ages ahead', -8e15 / 2, 'ttl-expired'],
  ])('%s: %i ms ago is %s', async (_what, age, reason) => {
    await withSessionPath(async (file) => {
      const fields = { ...fieldsOfAge(age), ...sessionFields('s-1') };
      await writeFile(file, sessionFileOf(fields));
      const status = await new SessionLock(file).status({ session: 's-2' });
      expect(status).toMatchObject({ reason, expired: reason === 'ttl-expired' });
    });
  });

  test('of the file system does not matter for a lock that can be read', async () => {
    await withSessionPath(async (file) => {
      await new SessionLock(file).create({ session: 's-1', ttl: hour });
      for (const time of [new Date(0), new Date(Date.now() + 1000 * hour)]) {
        await utimes(file, time, time);
        const hook = new SessionLock(file);
        expect(await hook.status({ session: 's-2' })).toMatchObject({ reason: 'foreign' });
        expect((await hook.breakStale()).changed).toBe(false);
      }
    });
  });
});

describe('what is wrong with the arguments is said', () => {
  const tool = new SessionLock('tool.lock');
  test.each<[string, () => unknown, RegExp]>([
    ['the path', () => new SessionLock(''), /path must not be empty/],
    ['an option', () => new SessionLock('a', { ttl: 1 } as never), /unknown option 'ttl'/],
    ['the timeout', () => new SessionLock('a', { timeout: -1 }), /option 'timeout' must be 0 or/],
    ['the session', () => tool.status({ session: 42 as never }), /'session' must be a string/],
    [
      'a ttl of 0',
      () => tool.create({ ttl: 0 }),
      /'ttl' must be whole milliseconds, 1 or more, got 0/,
    ],
    ['a negative ttl', () => tool.create({ ttl: -1 }), /'ttl' must be whole milliseconds/],
    ['an endless ttl', () => tool.renew({ ttl: Infinity }), /'ttl' must be whole .* got Infinity/],
    ['a ttl that is NaN', () => tool.breakStale({ ttl: NaN }), /'ttl' must be whole milliseconds/],
    ['a ttl as text', () => tool.create({ ttl: '30' as never }), /'ttl' must be a number/],
    ['a signal', () => tool.create({ signal: {} as never }), /'signal' must be an AbortSignal/],
    [
      'status with a signal',
      () => tool.status({ signal: null } as never),
      /does not apply to status/,
    ],
  ])('%s', async (_what, call, message) => {
    await expect(new Promise((resolve) => resolve(call()))).rejects.toThrow(message);
  });
});
