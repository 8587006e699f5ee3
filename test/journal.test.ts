import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { channels, lock, lockSync, openJournal, tryLock } from 'holdfast';
import type { HoldfastEvents, JournalOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, runNode, withChildren } from './helpers/child.js';
import { readJournal } from './helpers/journal.js';
import { withLockAgents } from './helpers/lock-agent.js';
import { freeBytes, withSmallTmpfs } from './helpers/mounts.js';
import { projectDirectory } from './helpers/paths.js';
import { descriptorCount } from './helpers/process-figures.js';
import { atScale, limitAtScale, ms, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type FailOpen = HoldfastEvents['lock_fail_open'];

/** Publishes what holdfast would, of a target of this name. */
function publishFailOpen(target: string): void {
  const event: FailOpen = {
    target,
    lockPath: `${target}.lock`,
    reason: 'timeout',
    code: 'ETIMEDOUT',
  };
  channels.lock_fail_open.publish(event);
}

async function withJournal(use: (file: string, directory: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory((directory) => use(path.join(directory, 'journal'), directory));
}

const targetsIn = async (file: string) => (await readJournal(file)).map(({ target }) => target);

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

describe('the file', () => {
  test.runIf(has('modes'))('gets exactly the mode that was asked for', async () => {
    await withTemporaryDirectory(async (directory) => {
      const umask = process.umask(0o777);
      try {
        for (const [name, mode] of [
          ['a', undefined],
          ['b', 0o640],
        ] as const) {
          const file = path.join(directory, name);
          const journal = await openJournal(file, { mode });
          publishFailOpen('/a');
          await journal.close();
          expect(statSync(file).mode & 0o777).toBe(mode ?? 0o600);
          expect(await targetsIn(file)).toEqual(['/a']);
        }
      } finally {
        process.umask(umask);
      }
    });
  });

  test.each([
    ['a directory', 'EINVAL', (file: string) => mkdirSync(file)],
    [
      'a hard link',
      'EMLINK',
      (file: string) => {
        writeFileSync(`${file}-victim`, 'precious');
        linkSync(`${file}-victim`, file);
      },
    ],
    ...(has('symlinks')
      ? ([
          ['a symbolic link', 'ELOOP', (file: string) => symlinkSync(`${file}-victim`, file)],
        ] as const)
      : []),
    ...(has('fifos')
      ? ([['a FIFO', 'EINVAL', (file: string) => spawnSync('mkfifo', [file])]] as const)
      : []),
  ] as const)('is refused when it is %s', async (_what, code, plant) => {
    await withJournal(async (file) => {
      plant(file);
      await expect(openJournal(file)).rejects.toMatchObject({ code, refused: true, path: file });
      if (code === 'EMLINK') expect(readFileSync(file, 'utf8')).toBe('precious');
      if (code === 'ELOOP') expect(existsSync(`${file}-victim`)).toBe(false);
    });
  });

  test('that is moved aside is followed by a new one', async () => {
    await withJournal(async (file) => {
      const journal = await openJournal(file);
      publishFailOpen('/a');
      renameSync(file, `${file}.1`);
      publishFailOpen('/b');
      await journal.close();
      expect(await targetsIn(`${file}.1`)).toEqual(['/a']);
      expect(await targetsIn(file)).toEqual(['/b']);
    });
  });

  test('that ends in the middle of a line is gone on with in a new one', async () => {
    await withJournal(async (file) => {
      writeFileSync(file, '{"event":"lock_fa');
      const journal = await openJournal(file);
      publishFailOpen('/a');
      await journal.close();
      const lines = readFileSync(file, 'utf8').split('\n');
      expect(lines).toHaveLength(3);
      expect(JSON.parse(lines[1] ?? '')).toMatchObject({ target: '/a' });
    });
  });

  test.runIf(has('flockCommand'))(
    'is written by and by while somebody else has its lock, for ever even',
    async () => {
      await withJournal(async (file) => {
        await withChildren(async (children) => {
          const journal = await openJournal(file);
          const holder = children.spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 600']);
          await holder.waitForOutput(/held/);
          for (const target of ['/a', '/b', '/c']) publishFailOpen(target);
          expect(readFileSync(file, 'utf8')).toBe('');
          await journal.flush();
          expect(await targetsIn(file)).toEqual(['/a', '/b', '/c']);
          await journal.close();
        });
      });
    },
  );
});

describe('a journal that cannot be written', () => {
  test.runIf(has('mountTmpfs'))(
    'warns once, fails nothing, cuts no line short, and has all of it when there is room again',
    async () => {
      await withSmallTmpfs(async (root) => {
        const file = path.join(root, 'journal');
        const filler = path.join(root, 'filler');
        const warnings: Error[] = [];
        const onWarning = (warning: Error): number => warnings.push(warning);
        process.on('warning', onWarning);
        try {
          const journal = await openJournal(file);
          publishFailOpen('/first');
          writeFileSync(filler, Buffer.alloc(await freeBytes(root)));
          const targets = Array.from({ length: 60 }, (_, at) => `/${at}/${'x'.repeat(200)}`);
          for (const target of targets) publishFailOpen(target);
          await expect(journal.flush()).rejects.toMatchObject({ code: 'ENOSPC', path: file });
          const sofar = await targetsIn(file);
          expect(sofar.length).toBeLessThan(targets.length);
          writeFileSync(filler, '');
          await journal.flush();
          expect(await targetsIn(file)).toEqual(['/first', ...targets]);
          expect(journal.lost).toBe(0);
          await journal.close();
          await sleep(0);
          expect(warnings.map((warning) => (warning as NodeJS.ErrnoException).code)).toEqual([
            'HOLDFAST_JOURNAL',
          ]);
        } finally {
          process.off('warning', onWarning);
        }
      });
    },
  );

  test.runIf(has('mountTmpfs'))('for long drops the oldest lines, and says how many', async () => {
    await withSmallTmpfs(async (root) => {
      const file = path.join(root, 'journal');
      const filler = path.join(root, 'filler');
      const journal = await openJournal(file);
      writeFileSync(filler, Buffer.alloc(await freeBytes(root)));
      const long = 'x'.repeat(100_000);
      for (let at = 0; at < 12; at++) publishFailOpen(`/${at}/${long}`);
      for (let at = 0; at < 40; at++) publishFailOpen(`/short ${at}`);
      expect(journal.lost).toBeGreaterThan(0);
      await expect(journal.close()).rejects.toMatchObject({ code: 'ENOSPC' });
    });
  });

  test.runIf(has('prlimit', 'proc'))(
    'anew for want of descriptors is written where it is',
    async () => {
      await withJournal(async (file) => {
        await withLockAgents(async (agents) => {
          const agent = await agents.process();
          await agent.openJournal(file, { events: ['lock_fail_open'] });
          renameSync(file, `${file}.1`);
          await agent.lock(`${file}-data`);
          const limit = descriptorCount(agent.pid) - 4;
          await run('prlimit', ['--pid', `${agent.pid}`, `--nofile=${limit}:`]);
          await agent.lock(`${file}-other`, { failOpen: true });
          expect(existsSync(file)).toBe(false);
          expect(await readJournal(`${file}.1`)).toMatchObject([{ code: 'EMFILE' }]);
          await run('prlimit', ['--pid', `${agent.pid}`, '--nofile=1024:']);
        });
      });
    },
  );
});

describe('what was told last', () => {
  const script = (end: string) => `
    const { lock, openJournal } = require('holdfast');
    const [file, target] = process.argv.slice(1);
    (async () => {
      const held = await lock(target);
      await openJournal(file);
      await lock(target, { failOpen: true, timeout: 0 });
      ${end}
    })();`;

  test.each([
    ['process.exit()', 'process.exit(3);', 3],
    ['an uncaught exception', "setImmediate(() => { throw new Error('uncaught'); });", 1],
    ['its natural end', 'await held.release();', 0],
  ])('is in the file after %s', async (_how, end, code) => {
    await withJournal(async (file) => {
      const child = await runNode(['-e', script(end), file, `${file}-data`], {
        cwd: projectDirectory,
      });
      expect(child).toMatchObject({ code, signal: null });
      expect(await readJournal(file)).toMatchObject([
        { event: 'lock_fail_open', reason: 'timeout' },
      ]);
    });
  });

  test.runIf(has('signals'))('is in the file after SIGKILL', async () => {
    await withJournal(async (file) => {
      const kill = "process.kill(process.pid, 'SIGKILL');";
      const child = await runNode(['-e', script(kill), file, `${file}-data`], {
        cwd: projectDirectory,
      });
      expect(child).toMatchObject({ code: null, signal: 'SIGKILL' });
      expect(await readJournal(file)).toHaveLength(1);
    });
  });

  test.runIf(has('flockCommand'))(
    'is in the file after process.exit() while somebody else has its lock',
    async () => {
      await withJournal(async (file) => {
        await withChildren(async (children) => {
          writeFileSync(file, '');
          const holder = children.spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 600']);
          await holder.waitForOutput(/held/);
          const child = await runNode(['-e', script('process.exit(3);'), file, `${file}-data`], {
            cwd: projectDirectory,
          });
          expect(child).toMatchObject({ code: 3, signal: null });
          expect(await readJournal(file)).toHaveLength(1);
        });
      });
    },
  );

  test('is nothing of what came after the end of the journal', async () => {
    await withJournal(async (file) => {
      {
        using journal = await openJournal(file);
        expect(journal.path).toBe(file);
        publishFailOpen('/a');
      }
      publishFailOpen('/b');
      const journal = await openJournal(file);
      await journal.close();
      await journal.close();
      publishFailOpen('/c');
      expect(await targetsIn(file)).toEqual(['/a']);
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
