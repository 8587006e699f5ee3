import { mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { SessionLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { sessionFileOf } from './helpers/session-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

// A session lock is to appear as open() with O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW and mode 0600 would make it. It is
// made elsewhere and given its name by a call that replaces nothing and follows nothing, which is that, and complete from the
// first moment.

const name = 'tool-session';

interface Call {
  name: string;
  text: string;
  succeeded: boolean;
}

/** The calls of a traced program that name the file. */
function callsAbout(log: string): Call[] {
  return log.split('\n').flatMap((line) => {
    const [, call, text, result] = /^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)/.exec(line) ?? [];
    if (call === undefined || text === undefined || !text.includes(`${name}"`)) return [];
    return { name: call, text, succeeded: !String(result).startsWith('-') };
  });
}

describe.each(worlds)('$world', ({ options }) => {
  test.runIf(has('strace'))(
    'the file gets its name by a call that neither replaces nor follows anything',
    async () => {
      await withTemporaryDirectory(async (directory) => {
        const log = path.join(directory, 'log');
        const file = path.join(directory, name);
        const trace = 'trace=?open,openat,?openat2,?creat,?link,linkat,?rename,renameat,renameat2';
        const [command = '', ...prefix] = [
          ...['strace', '-f', '-o', log, '-e', trace, '-e', 'signal=none'],
          ...(options.prefix ?? []),
        ];
        const program = [process.execPath, commandFile, 'session', 'create', file];
        expect(await run(command, [...prefix, ...program])).toMatchObject({
          code: 0,
          signal: null,
        });
        const calls = callsAbout(await readFile(log, 'utf8')).filter(
          // Not the name of this test's own arguments.
          ({ name: call }) => call !== 'execve',
        );
        const opened = calls.filter((call) => call.name.startsWith('open'));
        for (const { text } of opened) {
          expect(text).toContain('O_NOFOLLOW');
          expect(text).not.toContain('O_CREAT');
        }
        const named = calls.filter((call) => !call.name.startsWith('open') && call.succeeded);
        expect(named).toHaveLength(1);
        const [{ name: call, text } = { name: '', text: '' }] = named;
        // linkat() fails with EEXIST where anything has the name, a link that leads nowhere included (linkat(2)).
        if (call === 'linkat') expect(text).toMatch(/"tool-session", (0|AT_SYMLINK_FOLLOW)$/);
        else expect(text).toMatch(/"tool-session", RENAME_NOREPLACE$/);
      });
    },
  );

  test.runIf(has('modes'))('its mode is exactly 0600, whatever the umask', async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const agent = await agents.process(options);
        for (const umask of [0o000, 0o022, 0o077, 0o177, 0o777]) {
          await agent.umask(umask);
          const file = path.join(directory, `${umask}`);
          await agent.session('create', file, { session: 's-1' });
          expect((await stat(file)).mode & 0o7777, umask.toString(8)).toBe(0o600);
          await agent.session('renew', file, { session: 's-1' });
          expect((await stat(file)).mode & 0o7777, umask.toString(8)).toBe(0o600);
        }
      }),
    );
  });
});

test.runIf(has('symlinks'))(
  'a link that leads nowhere is refused, and nothing is made there',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, name);
      await symlink(path.join(directory, 'elsewhere'), file);
      const result = await holdfast(['session', 'create', file]);
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast session: ELOOP/);
      expect(await readdir(directory)).toEqual([name]);
    });
  },
);

test('what is there is neither changed nor removed', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, name);
    const contents = sessionFileOf({ created_at: 1, renewed_at: 1, ttl: 1, token: 1 });
    await writeFile(file, contents);
    const before = await stat(file);
    const { changed, found } = await new SessionLock(file).create({ session: 's-1' });
    expect({ changed, reason: found.reason }).toEqual({ changed: false, reason: 'ttl-expired' });
    const after = await stat(file);
    expect([after.ino, after.mtimeMs, after.mode]).toEqual([
      before.ino,
      before.mtimeMs,
      before.mode,
    ]);
    expect(await readFile(file, 'utf8')).toBe(contents);

    const occupied = path.join(directory, 'directory');
    await mkdir(occupied);
    await expect(new SessionLock(occupied).create()).rejects.toMatchObject({ refused: true });
  });
});
