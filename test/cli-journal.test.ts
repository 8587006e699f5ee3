import { spawnSync } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { channels, openJournal } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { holdfast } from './helpers/command-line.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const line = (event: string, fields: Record<string, unknown>): string =>
  `${JSON.stringify({ event, time: '2026-01-02T03:04:05.678Z', pid: 12, host: 'web-1', ...fields })}\n`;

async function withJournal<T>(
  text: string,
  use: (file: string, directory: string) => Promise<T>,
): Promise<T> {
  return withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'journal');
    await writeFile(file, text);
    return use(file, directory);
  });
}

describe('holdfast journal --summary', () => {
  test('counts who went on without the lock, by target and reason, and the rest', async () => {
    const text = [
      line('lock_fail_open', { target: '/srv/a', reason: 'timeout' }).repeat(11),
      line('lock_fail_open', { target: '/srv/a', reason: 'disk' }),
      line('lock_fail_open', { target: '__proto__', reason: 'timeout' }),
      line('contended', { target: '/srv/a' }),
      'half a li',
      '\n',
      line('lines_lost', { lines: 7 }),
      '{"event":1}\n[]\nnull\n"x"\n',
    ].join('');
    await withJournal(text, async (file) => {
      const result = await holdfast(['journal', '--summary', file]);
      expect(result).toEqual({
        code: 0,
        signal: null,
        stderr: '',
        stdout: [
          'gone on without the lock: 13',
          '  11  timeout  /srv/a',
          '   1  disk  /srv/a',
          '   1  timeout  __proto__',
          'other events:',
          '   1  contended',
          'events that could not be written: 7',
          'lines that are no events: 5',
          '',
        ].join('\n'),
      });
      const json = await holdfast(['journal', '--summary', '--json', file]);
      expect(JSON.parse(json.stdout)).toEqual({
        failOpens: [
          { count: 11, reason: 'timeout', target: '/srv/a' },
          { count: 1, reason: 'disk', target: '/srv/a' },
          { count: 1, reason: 'timeout', target: '__proto__' },
        ],
        events: [{ count: 1, event: 'contended' }],
        lost: 7,
        malformed: 5,
      });
    });
  });

  test('of an empty journal says that nobody did', async () => {
    await withJournal('', async (file) => {
      expect(await holdfast(['journal', '--summary', file])).toMatchObject({
        ...{ code: 0, stdout: 'nobody went on without the lock\n', stderr: '' },
      });
    });
  });

  test('passes over lines of any length', async () => {
    const text = `${'x'.repeat(3_000_000)}\n${line('dropped', { target: '/é' })}${'y'.repeat(2_000_000)}`;
    await withJournal(text, async (file) => {
      const { stdout } = await holdfast(['journal', '--summary', '--json', file]);
      expect(JSON.parse(stdout)).toMatchObject({
        events: [{ count: 1, event: 'dropped' }],
        malformed: 2,
      });
    });
  });
});

describe('holdfast journal', () => {
  test('prints what openJournal has kept, one line for each event', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'journal');
      const journal = await openJournal(file);
      const target = '/a\n2026 forged\u001b[2J';
      const event = { target, lockPath: '/.a.lock', reason: 'disk', code: 'ENOSPC', errno: -28 };
      channels.lock_fail_open.publish(event);
      await journal.close();
      const { stdout, ...exit } = await holdfast(['journal', file]);
      expect(exit).toEqual({ code: 0, signal: null, stderr: '' });
      expect(stdout.split('\n')).toHaveLength(2);
      expect(stdout).toMatch(
        /^\S+Z [^ ]+\[\d+\] lock_fail_open target="\/a\\n2026 forged\\u001b\[2J" lockPath=\/\.a\.lock reason=disk code=ENOSPC errno=-28\n$/,
      );
      const json = await holdfast(['journal', '--json', file]);
      expect(JSON.parse(json.stdout)).toMatchObject({ ...event, pid: process.pid });
    });
  });

  test('escapes names, hosts and times, too, and complains of what is no event', async () => {
    const text = line('a\nb', { time: 'then\n', host: 'h\u202e' });
    await withJournal(`${text}no event\n`, async (file) => {
      const result = await holdfast(['journal', file]);
      expect(result.stdout).toBe('then\\u{a} h\\u{202e}[12] a\\u{a}b\n');
      expect(result.stderr).toBe('holdfast journal: a line is no event\n');
      expect(result.code).toBe(0);
    });
  });

  test('of a file that is not there ends with 71, and of what is no file with 77', async () => {
    await withTemporaryDirectory(async (directory) => {
      const absent = await holdfast(['journal', path.join(directory, 'absent')]);
      expect(absent).toMatchObject({ code: 71, stdout: '' });
      expect(absent.stderr).toMatch(/^holdfast journal: ENOENT: .*\n$/);
      if (has('fifos')) {
        const fifo = path.join(directory, 'fifo');
        spawnSync('mkfifo', [fifo]);
        expect(await holdfast(['journal', fifo])).toMatchObject({ code: 77, stdout: '' });
      }
      if (has('symlinks')) {
        const link = path.join(directory, 'link');
        await symlink('absent', link);
        expect(await holdfast(['journal', link])).toMatchObject({ code: 77, stdout: '' });
      }
    });
  });

  test.each([
    [[], 'FILE is missing'],
    [['a', 'b'], "one FILE is enough, got 'b' as well"],
    [['--count', 'a'], "unknown option '--count'"],
  ])('%j is a wrong command line', async (args, message) => {
    const result = await holdfast(['journal', ...args]);
    expect(result).toMatchObject({ code: 64, stdout: '' });
    expect(result.stderr).toContain(message);
  });
});
