import { readFileSync } from 'node:fs';
import { link, mkdir, readFile, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { SessionLock, lock as takeLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import type { SessionFields } from './helpers/session-file.js';
import { fieldsOfAge, hour, sessionFields, sessionFileOf, sha256 } from './helpers/session-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { rejections, withSessionPath } from './helpers/session-lock.js';

describe('what other programs write', () => {
  test('without a hash goes by the sanitized id alone', async () => {
    await withSessionPath(async (file) => {
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
    await withSessionPath(async (file) => {
      await writeFile(file, sessionFileOf(fieldsOfAge(0, fields)));
      const status = await new SessionLock(file).status({ session: 's-1' });
      expect(status).toMatchObject({ reason: 'foreign' });
    });
  });

  test.each(['../../x', '/etc/passwd', 'C:\\x', 'a..b', 'a\u0007b', 'a\rb', '\u001b[2J'])(
    'with the session id %j is rejected with an event, and goes by the ttl alone',
    async (session_id) => {
      await withSessionPath(async (file) => {
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

        await writeFile(file, sessionFileOf(fieldsOfAge(2 * hour, stored)));
        const old = await rejections(() => hook.breakStale({ session: session_id }));
        expect(old.result).toMatchObject({ changed: true, found: { reason: 'ttl-expired' } });
        expect(old.events).toEqual([{ lockPath: file, reason: 'session_id' }]);
      });
    },
  );

  test('that is damaged is malformed, in the way while it is fresh, and broken when it is old', async () => {
    await withSessionPath(async (file) => {
      const hook = new SessionLock(file);
      const half = sessionFileOf(fieldsOfAge(0, sessionFields('s-1'))).slice(0, 60);
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
    await withSessionPath(async (file) => {
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
    await withSessionPath(async (file) => {
      // By its usual name it would be refused before anything is looked at.
      const lockPath = `${file}.kernel`;
      const held = await takeLock(file, { lockPath });
      expect(() => new SessionLock(path.join(path.dirname(file), '.tool.lock.lock'))).toThrow(
        expect.objectContaining({ code: 'EINVAL', refused: true }) as Error,
      );
      const confused = new SessionLock(lockPath);
      expect(await confused.status()).toMatchObject({ reason: 'malformed', expired: false });
      await expect(confused.breakStale({ ttl: 1 })).rejects.toMatchObject({ code: 'ECORRUPT' });
      held.verify();
      await held.release();
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
    await withSessionPath(async (file, directory) => {
      const victim = path.join(directory, 'victim');
      await symlink(victim, file);
      await expectRefusals(file, { code: 'ELOOP', refused: true });
      expect((await readdir(directory)).sort()).not.toContain('victim');
      await writeFile(victim, sessionFileOf(fieldsOfAge(0, sessionFields('s-1'))));
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
    await withSessionPath(async (file) => {
      expect(await run('mkfifo', [file])).toMatchObject({ code: 0, signal: null });
      await expectRefusals(file, { code: 'EINVAL', refused: true });
    });
  });

  test('a directory is refused', async () => {
    await withSessionPath(async (file) => {
      await mkdir(file);
      await expectRefusals(file, { refused: true });
      expect((await stat(file)).isDirectory()).toBe(true);
    });
  });

  test('a file with a second name is not written into', async () => {
    await withSessionPath(async (file, directory) => {
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
