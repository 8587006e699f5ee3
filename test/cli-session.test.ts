import { readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { lock } from 'holdfast';
import { describe, expect, test, vi } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { ChildExit } from './helpers/child.js';
import { holdfast } from './helpers/command-line.js';
import { fieldsOfAge, sessionFields, sessionFileOf, sha256 } from './helpers/session-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Each runs a program time and again, which takes a while where that is slow to start.
vi.setConfig({ testTimeout: 120_000 });

interface Result extends ChildExit {
  stdout: string;
  stderr: string;
}

/** `holdfast session`, with these variables and no others that it reads. */
function session(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  const none = { HOLDFAST_SESSION_ID: undefined, HOLDFAST_LOCK_TTL_SECONDS: undefined };
  return holdfast(['session', ...args], { env: { ...none, ...env } });
}

async function withPath<T>(use: (file: string, directory: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'tool.lock'), directory));
}

const s1 = { HOLDFAST_SESSION_ID: 's-1' };
const s2 = { HOLDFAST_SESSION_ID: 's-2' };

describe('the life of a session lock', () => {
  test('takes its session from the environment: create, status, renew, release', async () => {
    await withPath(async (file) => {
      const expectStatus = async (env: Record<string, string>, code: number, begin: string) => {
        const status = await session(['status', file], env);
        expect(status).toMatchObject({ code, signal: null, stderr: '' });
        expect(status.stdout.slice(0, begin.length)).toBe(begin);
      };
      await expectStatus(s1, 1, `absent: ${file}\n`);
      expect(await session(['create', file], s1)).toEqual({
        ...{ code: 0, signal: null, stdout: `created: ${file}\n`, stderr: '' },
      });
      const text = await readFile(file, 'utf8');
      expect(text).toContain(`\nsession_id=s-1\nsession_hash=${sha256('s-1')}\n`);
      expect(text).toContain('\nttl=30000\n');
      expect(text).toContain(`\nhost=${hostname()}\n`);

      await expectStatus(s1, 0, `own: ${file}, of session s-1, by pid `);
      await expectStatus(s2, 2, `foreign: ${file}, of session s-1, by pid `);
      await expectStatus({}, 3, `no-session: ${file}, of session s-1, by pid `);
      expect(await session(['create', file], s2)).toMatchObject({
        ...{ code: 1, signal: null, stderr: '' },
        stdout: expect.stringContaining(`not created: foreign: ${file}`) as string,
      });
      expect(await session(['renew', file, '--ttl', '1h'], s1)).toMatchObject({
        ...{ code: 0, signal: null, stdout: `renewed: ${file}\n`, stderr: '' },
      });
      expect(await readFile(file, 'utf8')).toContain('\nttl=3600000\n');
      const refused = await session(['release', file], s2);
      expect(refused).toMatchObject({ code: 1, signal: null, stderr: '' });
      expect(refused.stdout).toContain(`not released: foreign: ${file}`);
      expect(await session(['release', file], s1)).toEqual({
        ...{ code: 0, signal: null, stdout: `released: ${file}\n`, stderr: '' },
      });
      expect(await session(['release', file], s1)).toEqual({
        ...{ code: 1, signal: null, stdout: `not released: absent: ${file}\n`, stderr: '' },
      });
    });
  });

  test('takes its ttl from the environment, and ends by it', async () => {
    await withPath(async (file) => {
      const env = { ...s1, HOLDFAST_LOCK_TTL_SECONDS: '90.5' };
      expect((await session(['create', file], env)).code).toBe(0);
      expect(await readFile(file, 'utf8')).toContain('\nttl=90500\n');
      await writeFile(file, sessionFileOf({ ...fieldsOfAge(60_000), ...sessionFields('s-1') }));
      const over = await session(['status', file], s2);
      expect(over).toMatchObject({ code: 4, signal: null, stderr: '' });
      expect(over.stdout).toContain(`ttl-expired: ${file}`);
      const own = await session(['status', file], s1);
      expect(own.code).toBe(0);
      expect(own.stdout).toMatch(/^own: .*, expired\n$/);
      expect((await session(['break', file], s2)).stdout).toBe(`broken: ${file}\n`);
    });
  });

  test('without a session id ends by its ttl alone, without an error', async () => {
    await withPath(async (file) => {
      const env = { HOLDFAST_SESSION_ID: '' };
      const created = await session(['create', file, '--ttl', '1h'], env);
      expect(created).toMatchObject({ code: 0, stderr: '' });
      expect(await readFile(file, 'utf8')).not.toContain('session_id');
      expect(await session(['release', file], env)).toMatchObject({ code: 1, stderr: '' });
      await writeFile(file, sessionFileOf(fieldsOfAge(60_000)));
      expect(await session(['status', file], env)).toMatchObject({ code: 4, stderr: '' });
      expect(await session(['break', file], env)).toMatchObject({ code: 0, stderr: '' });
    });
  });

  test('options come before variables', async () => {
    await withPath(async (file) => {
      const env = { ...s1, HOLDFAST_LOCK_TTL_SECONDS: '90' };
      await session(['create', '--session', 's-2', '--ttl', '500ms', file], env);
      const text = await readFile(file, 'utf8');
      expect(text).toContain('\nsession_id=s-2\n');
      expect(text).toContain('\nttl=500\n');
      expect((await session(['release', '--session=', file], s2)).code).toBe(1);
    });
  });

  test('is told as JSON', async () => {
    await withPath(async (file) => {
      const created = await session(['create', '--json', file], s1);
      expect(JSON.parse(created.stdout)).toMatchObject({
        ...{ changed: true, found: { reason: 'absent' }, record: { session: 's-1', ttl: 30_000 } },
      });
      const status = await session(['status', '--json', file], s2);
      expect(JSON.parse(status.stdout)).toMatchObject({
        ...{ path: file, reason: 'foreign', expired: false, record: { session: 's-1' } },
      });
    });
  });
});

test('a file that cannot be believed is malformed, and cannot steer the terminal', async () => {
  await withPath(async (file) => {
    await writeFile(file, 'holdfast_session=1\nhost=\u001b[2J\n');
    const status = await session(['status', file], s1);
    expect(status).toEqual({
      ...{ code: 5, signal: null, stdout: `malformed: ${file}\n`, stderr: '' },
    });
    await writeFile(file, 'notes\n');
    const refused = await session(['break', '--ttl', '1ms', file], s1);
    expect(refused).toMatchObject({ code: 77, signal: null, stdout: '' });
    expect(refused.stderr).toMatch(/^holdfast session: ECORRUPT.*\n$/);
    expect(await readFile(file, 'utf8')).toBe('notes\n');
  });
});

test.runIf(has('symlinks'))('a link is refused with 77', async () => {
  await withPath(async (file, directory) => {
    await symlink('elsewhere', file);
    for (const action of ['create', 'status']) {
      const result = await session([action, file], s1);
      expect(result, action).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast session: ELOOP.*\n$/);
    }
    expect(await readdir(directory)).toEqual(['tool.lock']);
  });
});

test('a lock that somebody keeps is waited for as long as it is told', async () => {
  await withPath(async (file) => {
    const held = await lock(file);
    try {
      const result = await session(['create', '--timeout', '0', file], s1);
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast session: ETIMEDOUT.*\n$/);
    } finally {
      await held.release();
    }
  });
});

describe('a wrong command line, or variable, ends with 64 and names what is wrong', () => {
  test.each<[string[], Record<string, string>, string]>([
    [[], {}, 'an action is missing: create, status, renew, release or break'],
    [['destroy', 'f'], {}, "unknown action 'destroy'"],
    [['create', 'a', 'b'], {}, "one FILE is enough, got 'b' as well"],
    [['create', 'f', '--ttl', '0'], {}, "option '--ttl' must be a duration"],
    [['create', 'f'], { HOLDFAST_LOCK_TTL_SECONDS: '5m' }, 'a number of seconds above 0'],
    [['break', 'f'], { HOLDFAST_LOCK_TTL_SECONDS: 'x\u001b[2J' }, "got 'x\\u{1b}[2J'"],
  ])('%j with %j', async (args, env, message) => {
    const result = await session(args, env);
    expect(result).toMatchObject({ code: 64, signal: null, stdout: '' });
    expect(result.stderr).toContain(message);
    expect(result.stderr.split('\n')).toHaveLength(3);
  });
});
