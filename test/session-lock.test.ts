import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, writeFileSync } from 'node:fs';
import { link, mkdir, readFile, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { SessionLock, channels, lock as takeLock, tryLock } from 'holdfast';
import type { HoldfastEvents, SessionLockReason } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import type { SessionFields } from './helpers/session-file.js';
import {
  adversarialIds,
  fieldsOfAge,
  sessionFields,
  sessionFileOf,
} from './helpers/session-file.js';
import { sha256 } from './helpers/session-file.js';
import { takeAway } from './helpers/taken-away.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const hour = 3_600_000;
const rejectedChannel = channels.record_rejected.name as string;

async function withPath<T>(use: (file: string, directory: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'tool.lock'), directory));
}

/** The record_rejected events that are published meanwhile. */
async function rejections<T>(
  use: () => Promise<T>,
): Promise<{ result: T; events: HoldfastEvents['record_rejected'][] }> {
  const events: HoldfastEvents['record_rejected'][] = [];
  const listen = (event: unknown) => events.push(event as HoldfastEvents['record_rejected']);
  subscribe(rejectedChannel, listen);
  try {
    return { result: await use(), events };
  } finally {
    unsubscribe(rejectedChannel, listen);
  }
}

describe('a session lock', () => {
  test('is created, told from another session’s, renewed and released', async () => {
    await withPath(async (file, directory) => {
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
    await withPath(async (file) => {
      const tool = new SessionLock(file);
      const tokens: number[] = [];
      for (let round = 0; round < 3; round++) {
        expect((await tool.create({ session: 's-1' })).changed).toBe(true);
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
    await withPath(async (file) => {
      const own = { ...fieldsOfAge(60_000), ...sessionFields('s-1') };
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
    await withPath(async (file) => {
      await new SessionLock(file).create({ session: 's-1' });
      expect((await new SessionLock(file).read())?.ttl).toBe(30_000);
    });
  });

  test('is released by its session only, not by one whose id is sanitized to the same', async () => {
    await withPath(async (file) => {
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
    await withPath(async (file, directory) => {
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
    await withPath(async (file) => {
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
      await withPath(async (file) => {
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
    await withPath(async (file) => {
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
      await writeFile(file, sessionFileOf(fieldsOfAge(60_000, sessionFields('s-1'))));
      expect(await hook.status()).toMatchObject({ reason: 'ttl-expired', expired: true });
      expect((await hook.breakStale()).changed).toBe(true);
    });
  });
});

describe('what other programs write', () => {
  test('without a hash goes by the sanitized id alone', async () => {
    await withPath(async (file) => {
      const hook = new SessionLock(file);
      await writeFile(file, sessionFileOf(fieldsOfAge(0, { session_id: 'a.b' })));
      for (const session of ['a.b', 'a_b', 'a/b']) {
        expect(await hook.status({ session })).toMatchObject({ reason: 'own' });
      }
      expect(await hook.status({ session: 'a-b' })).toMatchObject({ reason: 'foreign' });
    });
  });

  test.each<[string, SessionFields]>([
    ['the hash of another id', { session_id: 's-1', session_hash: sha256('s-2') }],
    ['the id of another hash', { session_id: 's-2', session_hash: sha256('s-1') }],
  ])('with %s is foreign', async (_what, fields) => {
    await withPath(async (file) => {
      await writeFile(file, sessionFileOf(fieldsOfAge(0, fields)));
      const status = await new SessionLock(file).status({ session: 's-1' });
      expect(status).toMatchObject({ reason: 'foreign' });
    });
  });

  test.each(['../../x', '/etc/passwd', 'C:\\x', 'a..b', 'a\u0007b', 'a\rb', '\u001b[2J'])(
    'with the session id %j is rejected with an event, and goes by the ttl alone',
    async (session_id) => {
      await withPath(async (file) => {
        const hook = new SessionLock(file);
        const stored = { session_id, session_hash: sha256(session_id) };
        await writeFile(file, sessionFileOf(fieldsOfAge(0, stored)));
        const fresh = await rejections(() => hook.status({ session: session_id }));
        expect(fresh.result).toMatchObject({
          ...{ reason: 'no-session', expired: false, record: { session: null, sessionHash: null } },
        });
        expect(fresh.events).toEqual([{ lockPath: file, reason: 'session_id' }]);
        // It is not ignored, and not released by whoever bears such a name.
        expect((await hook.create({ session: 's-1' })).changed).toBe(false);
        expect((await hook.release({ session: session_id })).changed).toBe(false);
        expect((await hook.breakStale({ session: session_id })).changed).toBe(false);

        await writeFile(file, sessionFileOf(fieldsOfAge(60_000, stored)));
        const old = await rejections(() => hook.breakStale({ session: session_id }));
        expect(old.result).toMatchObject({ changed: true, found: { reason: 'ttl-expired' } });
        expect(old.events).toEqual([{ lockPath: file, reason: 'session_id' }]);
      });
    },
  );

  test('that is damaged is malformed, in the way while it is fresh, and broken when it is old', async () => {
    await withPath(async (file) => {
      const hook = new SessionLock(file);
      const half = sessionFileOf(fieldsOfAge(hour, sessionFields('s-1'))).slice(0, 60);
      for (const contents of [half, '', Buffer.alloc(300)]) {
        await writeFile(file, contents);
        const fresh = await rejections(() => hook.status({ session: 's-1' }));
        expect(fresh.result).toMatchObject({ reason: 'malformed', expired: false, record: null });
        expect(fresh.events).toEqual([{ lockPath: file, reason: 'malformed' }]);
        expect((await hook.create({ session: 's-1' })).changed).toBe(false);
        expect((await hook.renew({ session: 's-1' })).changed).toBe(false);
        expect((await hook.release({ session: 's-1' })).changed).toBe(false);
        expect((await hook.breakStale({ session: 's-1' })).changed).toBe(false);
        await expect(hook.read()).rejects.toMatchObject({ code: 'ECORRUPT', path: file });

        const minuteAgo = new Date(Date.now() - 60_000);
        await utimes(file, minuteAgo, minuteAgo);
        expect(await hook.status({ ttl: hour })).toMatchObject({ expired: false });
        expect(await hook.status()).toMatchObject({ reason: 'malformed', expired: true });
        expect((await hook.breakStale({ ttl: hour })).changed).toBe(false);
        expect((await hook.breakStale()).changed).toBe(true);
      }
    });
  });

  test.each<[string, string | Uint8Array]>([
    ['notes', 'do not lose this\n'],
    ['a later version of the file', 'holdfast_session=2\n'],
    ['a file that is too long', Buffer.alloc(5000, 'a')],
    ['an image of zeros', Buffer.alloc(100_000)],
  ])('and is no session lock (%s) is malformed, and never removed', async (_what, contents) => {
    await withPath(async (file) => {
      await writeFile(file, contents);
      const long = new Date(0);
      await utimes(file, long, long);
      const hook = new SessionLock(file);
      const seen = await rejections(() => hook.status({ session: 's-1', ttl: 1 }));
      expect(seen.result).toMatchObject({ reason: 'malformed', expired: false, record: null });
      expect(seen.events).toEqual([{ lockPath: file, reason: 'malformed' }]);
      for (const form of ['create', 'renew', 'release', 'breakStale'] as const) {
        await expect(hook[form]({ session: 's-1', ttl: 1 }), form).rejects.toMatchObject({
          ...{ name: 'HoldfastError', code: 'ECORRUPT', refused: true, path: file },
        });
      }
      expect(readFileSync(file).equals(Buffer.from(contents))).toBe(true);
    });
  });

  test('a lock file of holdfast’s own is no session lock', async () => {
    await withPath(async (file) => {
      const held = await takeLock(file);
      const confused = new SessionLock(held.lockPath);
      expect(await confused.status()).toMatchObject({ reason: 'malformed', expired: false });
      await expect(confused.breakStale({ ttl: 1 })).rejects.toMatchObject({ code: 'ECORRUPT' });
      held.verify();
      await held.release();
    });
  });
});

describe('the clock', () => {
  const ttl = 30_000;
  test.each<[string, number, SessionLockReason]>([
    ['just renewed', 0, 'foreign'],
    ['within its ttl', ttl - 10_000, 'foreign'],
    ['past its ttl', ttl + 1, 'ttl-expired'],
    ['long past', 1_600_000_000_000, 'ttl-expired'],
    ['a little ahead, by another clock', -(ttl - 10_000), 'foreign'],
    ['further ahead than a ttl', -hour, 'ttl-expired'],
    ['ages ahead', -8e15 / 2, 'ttl-expired'],
  ])('%s: %i ms ago is %s', async (_what, age, reason) => {
    await withPath(async (file) => {
      const fields = { ...fieldsOfAge(age), ...sessionFields('s-1') };
      await writeFile(file, sessionFileOf(fields));
      const status = await new SessionLock(file).status({ session: 's-2' });
      expect(status).toMatchObject({ reason, expired: reason === 'ttl-expired' });
    });
  });

  test('of the file system does not matter for a lock that can be read', async () => {
    await withPath(async (file) => {
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

describe('what is not safe to use', () => {
  async function expectRefusals(file: string, expected: object): Promise<void> {
    const hook = new SessionLock(file, { timeout: 5000 });
    for (const form of ['status', 'create', 'renew', 'release', 'breakStale'] as const) {
      await expect(hook[form]({ session: 's-1' }), form).rejects.toMatchObject(expected);
    }
    await expect(hook.read()).rejects.toMatchObject(expected);
  }

  test.runIf(has('symlinks'))('a link is not followed, wherever it leads', async () => {
    await withPath(async (file, directory) => {
      const victim = path.join(directory, 'victim');
      await symlink(victim, file);
      await expectRefusals(file, { code: 'ELOOP', refused: true });
      expect((await readdir(directory)).sort()).not.toContain('victim');
      await writeFile(victim, sessionFileOf(fieldsOfAge(hour, sessionFields('s-1'))));
      const before = await readFile(victim, 'utf8');
      await expectRefusals(file, { code: 'ELOOP', refused: true });
      expect(await readFile(victim, 'utf8')).toBe(before);
    });
  });

  test.runIf(has('symlinks'))(
    'a link among the directories is refused when that is asked for',
    async () => {
      await withTemporaryDirectory(async (home) => {
        const real = path.join(home, 'real');
        await mkdir(real);
        await symlink(real, path.join(home, 'link'));
        const file = path.join(home, 'link', 'tool.lock');
        const strict = new SessionLock(file, { parents: 'refuse-links' });
        await expect(strict.create({ session: 's-1' })).rejects.toMatchObject({ code: 'ELOOP' });
        await expect(strict.status({ session: 's-1' })).rejects.toMatchObject({ code: 'ELOOP' });
        expect(await readdir(real)).toEqual([]);
        expect((await new SessionLock(file).create({ session: 's-1' })).changed).toBe(true);
        expect((await readdir(real)).sort()).toEqual(['.tool.lock.lock', 'tool.lock']);
      });
    },
  );

  test.runIf(has('fifos'))('a FIFO is refused, and nobody waits for its other end', async () => {
    await withPath(async (file) => {
      expect(await run('mkfifo', [file])).toMatchObject({ code: 0, signal: null });
      await expectRefusals(file, { code: 'EINVAL', refused: true });
    });
  });

  test('a directory is refused', async () => {
    await withPath(async (file) => {
      await mkdir(file);
      await expectRefusals(file, { refused: true });
      expect((await stat(file)).isDirectory()).toBe(true);
    });
  });

  test('a file with a second name is not written into', async () => {
    await withPath(async (file, directory) => {
      const other = path.join(directory, 'other');
      const text = sessionFileOf(fieldsOfAge(0, sessionFields('s-1')));
      await writeFile(other, text);
      await link(other, file);
      await expect(new SessionLock(file).renew({ session: 's-1' })).rejects.toMatchObject({
        ...{ code: 'EMLINK', refused: true },
      });
      expect((await new SessionLock(file).release({ session: 's-1' })).changed).toBe(true);
      expect(await readFile(other, 'utf8')).toBe(text);
    });
  });
});

describe('where the directory is missing', () => {
  test('there is no lock, nothing to end, and none can be created', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'missing', 'tool.lock');
      const hook = new SessionLock(file);
      const absent = { reason: 'absent', expired: false, record: null };
      expect(await hook.status({ session: 's-1' })).toMatchObject(absent);
      expect(await hook.read()).toBeNull();
      for (const form of ['renew', 'release', 'breakStale', 'create'] as const) {
        await expect(hook[form]({ session: 's-1' }), form).rejects.toMatchObject({
          code: 'ENOENT',
        });
      }
      expect(await readdir(directory)).toEqual([]);
    });
  });
});

describe('every transition', () => {
  test('waits for the lock on the path, for as long as it is told', async () => {
    await withPath(async (file) => {
      await new SessionLock(file).create({ session: 's-1', ttl: hour });
      const held = await takeLock(file);
      const hook = new SessionLock(file, { timeout: 0 });
      for (const form of ['create', 'renew', 'release', 'breakStale'] as const) {
        await expect(hook[form]({ session: 's-1' }), form).rejects.toMatchObject({
          ...{ code: 'ETIMEDOUT', holder: { pid: process.pid } },
        });
        const patient = new SessionLock(file);
        const reason = new Error('no longer wanted');
        const signal = AbortSignal.abort(reason);
        await expect(patient[form]({ session: 's-1', signal }), form).rejects.toBe(reason);
      }
      // Who only looks does not wait.
      expect(await hook.status({ session: 's-1' })).toMatchObject({ reason: 'own' });
      await held.release();
      expect((await hook.release({ session: 's-1' })).changed).toBe(true);
      const free = await tryLock(file);
      expect(free).not.toBeNull();
      await free?.release();
    });
  });

  test('breaks the very file that it judged, and not one that was put there meanwhile', async () => {
    const over = fieldsOfAge(60_000, { session_id: '../x' });
    const later = sessionFileOf(fieldsOfAge(60_000, sessionFields('s-2')));
    const changes: [string, (file: string) => void][] = [
      [
        'another file',
        (file) => {
          takeAway(file);
          writeFileSync(file, later);
        },
      ],
      ['other contents', (file) => writeFileSync(file, later)],
      ['nothing', (file) => takeAway(file)],
    ];
    for (const [what, change] of changes) {
      await withPath(async (file) => {
        await writeFile(file, sessionFileOf(over));
        // Between the look and the removal its reader is told that the session id is not believed.
        const meddle = (): void => {
          unsubscribe(rejectedChannel, meddle);
          change(file);
        };
        subscribe(rejectedChannel, meddle);
        const { changed, found } = await new SessionLock(file).breakStale();
        expect(changed, what).toBe(false);
        expect(found.record?.session ?? null, what).toBe(what === 'nothing' ? null : 's-2');
        if (what !== 'nothing') expect(await readFile(file, 'utf8'), what).toBe(later);
      });
    }
  });

  test('makes one of two files, when somebody who asks for no lock makes one, too', async () => {
    await withPath(async (file) => {
      for (let round = 0; round < 30; round++) {
        const tool = new SessionLock(file);
        const theirs = sessionFileOf(fieldsOfAge(0, sessionFields('s-2')));
        const [ours, other] = await Promise.allSettled([
          tool.create({ session: 's-1' }),
          writeFile(file, theirs, { flag: 'wx' }),
        ]);
        if (ours.status === 'rejected') throw ours.reason;
        expect(other.status).toBe(ours.value.changed ? 'rejected' : 'fulfilled');
        const session = ours.value.changed ? 's-1' : 's-2';
        expect(await tool.read()).toMatchObject({ session });
        expect((await tool.release({ session })).changed).toBe(true);
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
