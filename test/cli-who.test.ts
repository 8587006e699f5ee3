import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const foregroundCommand = [
  process.execPath,
  path.join(fixturesDirectory, 'foreground-command.cjs'),
];

async function withTarget<T>(use: (target: string, directory: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'target'), directory));
}

describe('a free lock', () => {
  test.each(['never locked', 'released'])(
    'is said to be free, with exit code 1: %s',
    async (how) => {
      await withTarget(async (target) => {
        if (how === 'released') await (await lock(target)).release();
        const result = await holdfast(['who', target]);
        expect(result).toMatchObject({ code: 1, signal: null, stderr: '' });
        expect(result.stdout).toSatisfy((text: string) => text.startsWith(`${target} is free\n`));
      });
    },
  );

  test('whose last holder was killed tells so', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const args = ['run', '--close', target, '--', ...foregroundCommand];
        const child = children.spawnNode([commandFile, ...args]);
        await child.waitForOutput(/ready/);
        const exited = once(child.process, 'exit');
        child.kill('SIGKILL');
        expect(await exited).toEqual([null, 'SIGKILL']);
        const result = await holdfast(['who', target]);
        expect(result).toMatchObject({ code: 1, signal: null, stderr: '' });
        expect(result.stdout).toContain(`is free; pid ${child.pid} on ${hostname()} since`);
        expect(result.stdout).toContain('ended without releasing it');
      });
    });
  });
});

describe('a held lock', () => {
  test.runIf(has('sameStartTime'))(
    'is told with pid, host, time and mode, with exit code 0',
    async () => {
      await withTarget(async (target, directory) => {
        const held = await lock(target);
        try {
          const result = await holdfast(['who', target]);
          expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
          expect(result.stdout).toContain(
            `${target} is held, exclusively, by pid ${process.pid} on ${hostname()} since `,
          );
          expect(result.stdout).toMatch(/since \d{4}-\d\d-\d\dT[\d:.]+Z \([\d.]+ m?s ago\)\. /);
          expect(result.stdout).toContain('That process is alive.');
          expect(result.stdout).toContain(`lock file: ${path.join(directory, '.target.lock')}\n`);
          expect(held.held).toBe(true);
        } finally {
          await held.release();
        }
      });
    },
  );

  test.runIf(has('sameStartTime'))('is told as JSON', async () => {
    await withTarget(async (target, directory) => {
      const held = await lock(target, { session: 'my-session' });
      try {
        const result = await holdfast(['who', '--json', target]);
        expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
        const inspection = JSON.parse(result.stdout) as { holder: { since: string } };
        expect(inspection).toMatchObject({
          target,
          lockPath: path.join(directory, '.target.lock'),
          state: 'held',
          shared: false,
          liveness: 'alive',
          malformed: false,
          holder: {
            pid: process.pid,
            host: hostname(),
            session: 'my-session',
            token: held.token,
            self: false,
          },
        });
        expect(Math.abs(Date.parse(inspection.holder.since) - Date.now())).toBeLessThan(60_000);
      } finally {
        await held.release();
      }
    });
  });

  test('by holdfast run shows its session, made harmless', async () => {
    await withTarget(async (target) => {
      await withChildren(async (children) => {
        const args = ['run', '--session', '../build\n7', target, '--', ...foregroundCommand];
        const child = children.spawnNode([commandFile, ...args]);
        await child.waitForOutput(/ready/);
        const result = await holdfast(['who', target]);
        expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
        expect(result.stdout).toContain(`pid ${child.pid} on`);
        expect(result.stdout).toContain(', session ___build_7');
      });
    });
  });

  // Where a job object binds them, the command ends with its run.
  test.runIf(!has('jobObjects'))(
    'by a command whose run was killed names the run, and says that it is dead',
    async () => {
      await withTarget(async (target) => {
        await withChildren(async (children) => {
          const child = children.spawnNode([
            commandFile,
            'run',
            target,
            '--',
            ...foregroundCommand,
          ]);
          const [, heir] = await child.waitForOutput(/ready (\d+)/);
          const exited = once(child.process, 'exit');
          child.kill('SIGKILL');
          await exited;
          const result = await holdfast(['who', target]);
          expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
          expect(result.stdout).toContain(`pid ${child.pid} on`);
          const end = has('proc')
            ? `the lock was inherited by pid ${heir}`
            : 'who has the lock now is unknown';
          expect(result.stdout).toContain(`That process is dead; ${end}.`);
        });
      });
    },
  );

  test('shared is told as shared', async () => {
    await withTarget(async (target) => {
      const held = await lock(target, { shared: true });
      try {
        const result = await holdfast(['who', target]);
        expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
        expect(result.stdout).toContain(`${target} is held, shared, by a holder that left no name`);
      } finally {
        await held.release();
      }
    });
  });

  test.runIf(has('proc'))('shared is told with the processes that the system names', async () => {
    await withTarget(async (target) => {
      const held = await lock(target, { shared: true });
      try {
        const result = await holdfast(['who', target]);
        expect(result.stdout).toContain(`taken by, says the system: pid ${process.pid}\n`);
      } finally {
        await held.release();
      }
    });
  });
});

describe('what cannot be answered', () => {
  test.runIf(has('symlinks'))(
    'a link where the lock file should be is refused with 77',
    async () => {
      await withTarget(async (target, directory) => {
        await symlink('elsewhere', path.join(directory, '.target.lock'));
        const result = await holdfast(['who', target]);
        expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
        expect(result.stderr).toMatch(/^holdfast who: .*ELOOP.*\n$/);
      });
    },
  );

  test('somebody else’s data where the lock file should be is refused with 77', async () => {
    await withTarget(async (target, directory) => {
      await writeFile(path.join(directory, '.target.lock'), 'my data\n');
      const result = await holdfast(['who', target]);
      expect(result).toMatchObject({ code: 77, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast who: .*ECORRUPT.*\n$/);
    });
  });

  test('a missing directory is an error of the system', async () => {
    await withTarget(async (target) => {
      const result = await holdfast(['who', path.join(target, 'file')]);
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast who: .*ENOENT.*\n$/);
    });
  });

  // Windows has no such names.
  test.runIf(!has('windowsPaths'))('a name from outside cannot steer the terminal', async () => {
    await withTemporaryDirectory(async (directory) => {
      const result = await holdfast(['who', path.join(directory, 'a\u001b[2Jb')]);
      expect(result.code).toBe(1);
      expect(result.stdout).toContain('a\\u{1b}[2Jb is free');
      expect(result.stdout).not.toContain('\u001b');
    });
  });
});
