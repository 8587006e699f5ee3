import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { SessionLock, safeFileName, sanitizeSessionId } from 'holdfast';
import { describe, expect, test, vi } from 'vitest';

import { withChildren } from '../../helpers/child.js';
import { atScale, limitAtScale, printFigure } from '../../helpers/scale.js';
import { adversarialIds, fieldsOfAge, sessionFileOf } from '../../helpers/session-file.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';

// A lock tool takes a lock for a session and ends; a stop hook, another process, has to tell its own session's lock from a
// foreign one and from one that a crashed session has left. The session's id comes from the environment, and was written
// into the lock file and into paths as it came.

// Each runs programs time and again, which takes a while where those are slow to start.
vi.setConfig({ testTimeout: limitAtScale(120_000) });

interface Place {
  directory: string;
  file: string;
  /** Runs the tool or the hook in a process of its own, in a session, and resolves with what it came to. */
  run: (part: 'tool' | 'hook', session: string | undefined) => Promise<unknown>;
}

async function withPlace(use: (place: Place, home: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (home) => {
    const directory = path.join(home, 'project');
    await mkdir(directory);
    await mkdir(path.join(directory, 'sessions'));
    const run: Place['run'] = (part, session) =>
      withChildren(async (children) => {
        const env = { HOLDFAST_SESSION_ID: session };
        const child = children.fork('lock-tool.mjs', { args: [part, directory], env });
        const { result } = await child.waitForMessage('done');
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        return result;
      });
    await use({ directory, file: path.join(directory, 'tool.lock'), run }, home);
  });
}

test('the hook knows its own session’s lock after the tool has ended, and leaves another’s alone', async () => {
  await withPlace(async ({ directory, run }) => {
    expect(await run('hook', 's-1')).toMatchObject({ reason: 'absent', stops: 1 });
    expect(await run('tool', 's-1')).toBe(true);
    expect(await run('tool', 's-2')).toBe(false);
    expect(await run('hook', 's-2')).toEqual({
      ...{ reason: 'foreign', stops: 1, released: false, broken: false, rejected: [] },
    });
    expect(await run('hook', 's-1')).toEqual({
      ...{ reason: 'own', stops: 2, released: true, broken: false, rejected: [] },
    });
    expect((await readdir(directory)).sort()).toEqual(['.tool.lock.lock', 'sessions']);
  });
});

test('a lock that a crashed session has left is foreign until its ttl is over, and then broken', async () => {
  await withPlace(async ({ file, run }) => {
    expect(await run('tool', 'crashed')).toBe(true);
    expect(await run('hook', 's-1')).toMatchObject({ reason: 'foreign', broken: false });
    // As if hours had passed.
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^renewed_at=\d+$/m, `renewed_at=${Date.now() - 1e8}`));
    expect(await run('hook', 's-1')).toMatchObject({ reason: 'ttl-expired', broken: true });
    expect(await run('tool', 's-1')).toBe(true);
  });
});

test('without a session id recovery is by the ttl alone, without an error', async () => {
  await withPlace(async ({ file, run }) => {
    for (const session of [undefined, '']) {
      expect(await run('tool', session)).toBe(true);
      expect(await readFile(file, 'utf8')).not.toContain('session_id');
      expect(await run('hook', session)).toMatchObject({
        ...{ reason: 'no-session', released: false, broken: false, rejected: [] },
      });
      await writeFile(file, sessionFileOf(fieldsOfAge(60_000)));
      expect(await run('hook', session)).toMatchObject({ reason: 'ttl-expired', broken: true });
    }
  });
});

test(
  'a tool that is killed at any moment leaves a whole lock or none, and nobody has to wait for it',
  async () => {
    await withPlace(async ({ directory, file }) => {
      const kills = atScale(500, 5);
      const left = { lock: 0, none: 0 };
      for (let round = 0; round < kills; round++) {
        await withChildren(async (children) => {
          const env = { HOLDFAST_SESSION_ID: 's-1' };
          const child = children.fork('lock-tool.mjs', { args: ['endless', directory], env });
          await child.waitForMessage('ready');
          await sleep(Math.random() * 60);
          child.kill('SIGKILL');
          await child.waitForExit();
        });
        const hook = new SessionLock(file, { timeout: 10_000 });
        const { reason } = await hook.status({ session: 's-1' });
        expect(['own', 'absent']).toContain(reason);
        left[reason === 'own' ? 'lock' : 'none']++;
        // In no session's way for longer than a transition takes.
        const released = await hook.release({ session: 's-1' });
        expect(released.changed).toBe(reason === 'own');
      }
      printFigure(
        `${kills} kills left ${left.lock} whole session locks and ${left.none} times none`,
      );
    });
  },
  limitAtScale(120_000),
);

describe('a session whose id is up to no good', () => {
  // Not all of them can be in an environment, and each costs two processes.
  test('cannot write elsewhere, nor pass for another, nor be taken for it', async () => {
    await withPlace(async ({ directory, file, run }, home) => {
      const used = adversarialIds.filter((_, index) => atScale(0, index % 5) === 0);
      for (const id of used) {
        expect(await run('tool', id), id).toBe(true);
        const text = await readFile(file, 'utf8');
        expect(text.match(/^session_id=.*$/gm), id).toEqual([
          `session_id=${sanitizeSessionId(id).slice(0, 128)}`,
        ]);
        const victim = await new SessionLock(file).status({ session: 'victim' });
        expect(victim, id).toMatchObject({ reason: 'foreign' });
        expect(await run('hook', id), id).toEqual({
          ...{ reason: 'own', stops: 1, released: true, broken: false, rejected: [] },
        });
      }
      expect(await readdir(home)).toEqual(['project']);
      expect((await readdir(directory)).sort()).toEqual(['.tool.lock.lock', 'sessions']);
      const names = used.map((id) => safeFileName(id));
      expect((await readdir(path.join(directory, 'sessions'))).sort()).toEqual(
        names.flatMap((name) => [name, `.${name}.lock`]).sort(),
      );
    });
  });

  test('in the file is rejected with a warning, and recovery falls back to the ttl', async () => {
    await withPlace(async ({ file, run }) => {
      const stored = { session_id: '../../etc/passwd' };
      await writeFile(file, sessionFileOf(fieldsOfAge(0, stored)));
      expect(await run('tool', '../../etc/passwd')).toBe(false);
      const kept = (await run('hook', '../../etc/passwd')) as { rejected: string[] };
      expect(kept).toMatchObject({ reason: 'no-session', released: false, broken: false });
      expect(new Set(kept.rejected)).toEqual(new Set(['session_id']));
      await writeFile(file, sessionFileOf(fieldsOfAge(60_000, stored)));
      expect(await run('hook', '../../etc/passwd')).toMatchObject({
        ...{ reason: 'ttl-expired', released: false, broken: true },
      });
    });
  });
});
