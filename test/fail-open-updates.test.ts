import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { ChildOptions } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

interface Writer {
  form: 'updateFile' | 'updateFileSync';
  options: { failOpen?: boolean; timeout?: number; retry?: number };
}

/** Writers that append lines at the same time: how often they went on without the lock, and how often a function ran. */
async function appendTogether(
  directory: string,
  writers: readonly Writer[],
  count: number,
  childOptions: ChildOptions = {},
): Promise<{ failedOpen: number; calls: number }> {
  const file = path.join(directory, 'data');
  writeFileSync(file, '');
  return withChildren(async (children) => {
    const started = writers.map(({ form, options }, at) => {
      // Others may be faster many times in a row, on a machine that does other things as well.
      const retry = limitAtScale(60_000);
      const job = { file, name: `w${at}`, count, form, options: { retry, ...options } };
      return children.fork('append-lines.mjs', { ...childOptions, args: [JSON.stringify(job)] });
    });
    await Promise.all(started.map((child) => child.waitForMessage('ready')));
    for (const child of started) child.send('go');
    let failedOpen = 0;
    let calls = 0;
    for (const child of started) {
      const done = await child.waitForMessage('done', limitAtScale(60_000));
      expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
      failedOpen += Number(done.failedOpen);
      calls += Number(done.calls);
    }
    const expected = writers.flatMap((_, at) =>
      Array.from({ length: count }, (__, number) => `w${at} ${number}`),
    );
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
    expect(lines.length, 'appends').toBe(expected.length);
    expect([...lines].sort()).toEqual(expected.sort());
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    return { failedOpen, calls };
  });
}

const atOnce = { failOpen: true, timeout: 0 };
const forms = ['updateFile', 'updateFileSync'] as const;
const count = atScale(2000, 60);

describe.each(worlds)(
  'of writers that all went on without the lock, $world,',
  ({ world, options }) => {
    test(
      'none loses an append',
      async () => {
        await withTemporaryDirectory(async (directory) => {
          const held = await lock(path.join(directory, 'data'));
          const writers = forms.map((form) => ({ form, options: atOnce }));
          const { failedOpen, calls } = await appendTogether(directory, writers, count, options);
          expect(failedOpen).toBe(2 * count);
          await held.release();
          printFigure(`2 x ${count} appends without the lock, ${world}: none lost, ${calls} calls`);
        });
      },
      limitAtScale(120_000),
    );

    test.runIf(has('strace')).each(['ENOLCK', 'ENOSYS'])(
      'none loses an append where there are no locks at all: %s',
      async (code) => {
        await withTemporaryDirectory(async (directory) => {
          const strace = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=flock'];
          // Neither is there a rename that spares what is there.
          const faults = [`flock:error=${code}`, 'renameat2:error=EINVAL'];
          const prefix = [...strace, ...faults.flatMap((fault) => ['-e', `inject=${fault}`])];
          const writers = forms.map((form) => ({ form, options: { failOpen: true } }));
          const { failedOpen, calls } = await appendTogether(directory, writers, count, {
            prefix: [...prefix, ...(options.prefix ?? [])],
          });
          expect(failedOpen).toBe(2 * count);
          printFigure(`2 x ${count} appends, ${code}, ${world}: none lost, ${calls} calls`);
        });
      },
      limitAtScale(120_000),
    );
  },
);

test(
  'of writers with the lock and others that went on without it, none loses an append',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const writers = [...forms, ...forms].map((form, at) => ({
        form,
        options: at < 2 ? {} : atOnce,
      }));
      const { failedOpen, calls } = await appendTogether(directory, writers, count);
      const total = writers.length * count;
      printFigure(`${total} appends, ${failedOpen} without the lock: none lost, ${calls} calls`);
    });
  },
  limitAtScale(120_000),
);

describe('an update with the lock', () => {
  test('calls its function again when somebody without it has changed the file', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'data');
      writeFileSync(file, 'a\n');
      const seen: string[] = [];
      const contents = await updateFile(file, (current) => {
        seen.push(String(current));
        // An editor, once.
        if (seen.length === 1) writeFileSync(file, 'a\nedited\n');
        return `${String(current)}b\n`;
      });
      expect(seen).toEqual(['a\n', 'a\nedited\n']);
      expect(String(contents)).toBe('a\nedited\nb\n');
      expect(readFileSync(file, 'utf8')).toBe('a\nedited\nb\n');
    });
  });

  test('gives up with ECONFLICT when that never ends, and leaves what others wrote', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'data');
      let edits = 0;
      const update = updateFile(
        file,
        () => {
          edits++;
          writeFileSync(file, `edit ${edits}`.padEnd(edits));
          return 'mine';
        },
        { retry: 50 },
      );
      await expect(update).rejects.toMatchObject({ code: 'ECONFLICT', targetState: 'old' });
      expect(edits).toBeGreaterThan(1);
      expect(readFileSync(file, 'utf8')).toBe(`edit ${edits}`.padEnd(edits));
    });
  });
});

describe.runIf(has('strace', 'unnamedFiles'))('a kill between comparing and publishing', () => {
  async function killWhilePublishing(
    directory: string,
    faults: string[],
    use: (file: string, waiting: string) => Promise<void>,
  ): Promise<void> {
    await withLockAgents(async (agents) => {
      const file = path.join(directory, 'data');
      writeFileSync(file, 'old\n');
      const agent = await agents.process();
      await withFaults(
        agents.children,
        agent.pid,
        [...faults, 'renameat:signal=KILL'],
        async () => {
          await expect(agent.updateFile(file, 'new\n', { failOpen: true })).rejects.toThrow();
        },
      );
      const left = readdirSync(directory).find((name) => name.endsWith('.tmp')) ?? '';
      expect(left).toMatch(/^\.holdfast-\d+\.tmp$/);
      await use(file, path.join(directory, left));
    });
  }

  test('is nobody else’s: the next update removes what it left', async () => {
    await withTemporaryDirectory((directory) =>
      killWhilePublishing(directory, [], async (file, left) => {
        await updateFile(file, (current) => `${String(current)}next\n`);
        expect(readFileSync(file, 'utf8')).toBe('old\nnext\n');
        expect(existsSync(left)).toBe(false);
      }),
    );
  });

  test('where there are no locks holds others up for a minute, and then no longer', async () => {
    await withTemporaryDirectory((directory) =>
      killWhilePublishing(directory, ['flock:error=ENOLCK'], async (file, left) => {
        await withLockAgents(async (agents) => {
          const agent = await agents.process();
          await withFaults(agents.children, agent.pid, ['flock:error=ENOLCK'], async () => {
            const options = { failOpen: true, retry: 50 };
            await expect(agent.updateFile(file, 'next\n', options)).rejects.toMatchObject({
              ...{ code: 'EBUSY', path: left, targetState: 'old' },
            });
            const longAgo = Date.now() / 1000 - 120;
            utimesSync(left, longAgo, longAgo);
            await agent.updateFile(file, 'next\n', options);
          });
        });
        expect(readFileSync(file, 'utf8')).toBe('old\nnext\n');
        expect(existsSync(left)).toBe(false);
      }),
    );
  });
});
