import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { openJournal } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { freeBytes, withSmallTmpfs } from './helpers/mounts.js';
import { descriptorCount } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { publishFailOpen, readJournal, targetsIn, withJournal } from './helpers/journal.js';

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
      const long = 'x'.repeat(30_000);
      for (let at = 0; at < 40; at++) publishFailOpen(`/${at}/${long}`);
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
