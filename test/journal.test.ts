import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';

import { channels, lock, lockSync, openJournal, tryLock } from 'holdfast';
import type { JournalOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, ms, printFigure } from './helpers/scale.js';
import { publishFailOpen, readJournal, targetsIn, withJournal } from './helpers/journal.js';

describe('a journal', () => {
  test('has a line for each event, with its name, the time, the process and what it was about', async () => {
    await withJournal(async (file, directory) => {
      const target = path.join(directory, 'data');
      const lockPath = path.join(directory, '.data.lock');
      const before = Date.now();
      const journal = await openJournal(file, { events: ['lock', 'contended', 'released'] });
      const held = await lock(target);
      expect(await tryLock(target)).toBeNull();
      await expect(lock(target, { timeout: 0 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      held.releaseSync();
      lockSync(target, { shared: true }).releaseSync();
      await journal.close();
      (await lock(target)).releaseSync();

      const lines = await readJournal(file);
      for (const { time } of lines) {
        expect(new Date(time).toISOString()).toBe(time);
        expect(Date.parse(time)).toBeGreaterThanOrEqual(before);
      }
      const common = { pid: process.pid, host: hostname(), target, lockPath };
      const exclusive = { ...common, shared: false };
      const holder = { pid: process.pid, self: true, token: held.token };
      const { token } = held;
      expect(lines).toMatchObject([
        { event: 'lock', ...exclusive, token },
        { event: 'lock', ...exclusive },
        { event: 'contended', ...exclusive, holder },
        { event: 'lock', ...exclusive, error: { code: 'ETIMEDOUT' } },
        { event: 'released', ...common, token },
        { event: 'lock', ...common, shared: true, token: null },
        { event: 'released', ...common, token: null },
      ]);
      for (const line of lines) {
        if (line.event === 'lock') expect(line.waitedMs).toBeGreaterThanOrEqual(0);
        if (line.event === 'released') expect(line.heldMs).toBeGreaterThanOrEqual(0);
      }
      expect(lines[1]).not.toHaveProperty('token');
    });
  });

  test('keeps by default what is out of the ordinary, and a line is there when the event has been told', async () => {
    await withJournal(async (file, directory) => {
      await using journal = await openJournal(file);
      (await lock(path.join(directory, 'data'))).releaseSync();
      expect(readFileSync(file, 'utf8')).toBe('');
      publishFailOpen('/a');
      channels.record_rejected.publish({ lockPath: '/b', reason: 'malformed' });
      channels.taken_over.publish({
        target: '/c',
        lockPath: '/.c.lock',
        token: 1,
        previousHolder: null,
      });
      channels.lost.publish({ target: '/d', lockPath: '/.d.lock', token: 1, reason: 'removed' });
      channels.replace_fallback.publish({ path: '/e', method: 'copy', attempts: 1, code: 'EBUSY' });
      channels.dropped.publish({ target: '/f', lockPath: '/.f.lock' });
      expect((await readJournal(file)).map(({ event }) => event)).toEqual([
        ...['lock_fail_open', 'record_rejected', 'taken_over', 'lost'],
        ...['replace_fallback', 'dropped'],
      ]);
      expect(journal.lost).toBe(0);
    });
  });

  test('is appended to, and never tells of its own locks', async () => {
    await withJournal(async (file) => {
      for (const target of ['/a', '/b']) {
        const journal = await openJournal(file, { events: Object.keys(channels) as 'lock'[] });
        publishFailOpen(target);
        await journal.close();
      }
      expect(await targetsIn(file)).toEqual(['/a', '/b']);
    });
  });

  test('has one line for an event, whatever is in it, and says nothing else than it', async () => {
    await withJournal(async (file) => {
      const journal = await openJournal(file);
      const names = [
        '/a\n{"event":"lock_fail_open"}',
        '/\r\u2028\u2029\u0085\u000b',
        '/\u001b[2J\u202e\u{e0001}\ud800"\\',
        '/__proto__',
      ];
      for (const name of names) publishFailOpen(name);
      await journal.close();
      const text = readFileSync(file, 'utf8');
      expect(text).not.toMatch(/[^\P{C}\n]|[\u2028\u2029]/u);
      expect(await targetsIn(file)).toEqual(names);
    });
  });

  test(
    'of many processes has every line of each of them, whole',
    async () => {
      await withJournal(async (file, directory) => {
        const processes = atScale(16, 4);
        const events = atScale(2000, 100);
        await withLockAgents(async (agents) => {
          const all = await Promise.all(Array.from({ length: processes }, () => agents.process()));
          await Promise.all(
            all.map((agent) => agent.openJournal(file, { events: ['lock', 'released'] })),
          );
          const start = performance.now();
          await Promise.all(
            all.map((agent, at) =>
              agent.call(
                'lockOften',
                path.join(directory, `${at}-${'x'.repeat(at * 10)}`),
                events / 2,
              ),
            ),
          );
          const elapsed = performance.now() - start;
          expect(await Promise.all(all.map((agent) => agent.closeJournal()))).toEqual(
            all.map(() => 0),
          );
          const lines = await readJournal(file);
          expect(lines).toHaveLength(processes * events);
          const counts = new Map<string, number>();
          for (const { event, pid } of lines) {
            const key = `${pid} ${event}`;
            counts.set(key, (counts.get(key) ?? 0) + 1);
          }
          expect([...counts.values()]).toEqual(Array(2 * processes).fill(events / 2));
          printFigure(
            `${processes} processes x ${events} events: ${lines.length} whole lines, ${ms(elapsed)}`,
          );
        });
      });
    },
    limitAtScale(60_000),
  );

  test('of two threads of a process has what each of them tells', async () => {
    await withJournal(async (file, directory) => {
      await withLockAgents(async (agents) => {
        const journal = await openJournal(file, { events: ['released'] });
        const worker = await agents.worker();
        await worker.openJournal(file, { events: ['released'] });
        await worker.call('lockOften', path.join(directory, 'theirs'), 3);
        (await lock(path.join(directory, 'ours'))).releaseSync();
        await worker.closeJournal();
        await journal.close();
      });
      const targets = (await targetsIn(file)).map((target) => path.basename(String(target)));
      expect(targets).toEqual(['theirs', 'theirs', 'theirs', 'ours']);
    });
  });
});

describe('wrong options', () => {
  test.each([
    [{ event: [] }, "unknown option 'event'"],
    [{ events: 'lock' }, 'option \'events\' must be an array of names, got "lock"'],
    [{ events: ['locked'] }, 'got "locked"'],
    [{ mode: '600' }, "option 'mode' must be an integer"],
    [{ mode: 0o400 }, "option 'mode' must be permission bits with owner read and write"],
    [{ owners: 'all' }, "option 'owners' must be 'trusted' or 'any'"],
  ])('%j', async (options, message) => {
    await withJournal(async (file) => {
      await expect(openJournal(file, options as JournalOptions)).rejects.toThrow(message);
      expect(existsSync(file)).toBe(false);
    });
  });

  test('a parent that is missing is ENOENT', async () => {
    await withJournal(async (file) => {
      const missing = path.join(file, 'journal');
      await expect(openJournal(missing)).rejects.toMatchObject({ code: 'ENOENT', path: file });
    });
  });
});

test('lines of others that take no lock are left alone', async () => {
  await withJournal(async (file) => {
    const journal = await openJournal(file);
    publishFailOpen('/a');
    appendFileSync(file, 'a foreign line\n');
    publishFailOpen('/b');
    await journal.close();
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines[1]).toBe('a foreign line');
    expect(lines).toHaveLength(4);
  });
});
