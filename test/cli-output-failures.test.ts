import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Stream = 'ignore' | number;

/** Runs `holdfast` with these streams to its end. */
async function exitOf(args: readonly string[], stdout: Stream, stderr: Stream): Promise<unknown> {
  const child = spawn(process.execPath, [commandFile, ...args], {
    stdio: ['ignore', stdout, stderr],
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return { code, signal };
}

/** Runs `use` with a descriptor on a device where every write fails with ENOSPC. */
async function withFullDevice<T>(use: (full: number) => Promise<T>): Promise<T> {
  const full = openSync('/dev/full', 'w');
  try {
    return await use(full);
  } finally {
    closeSync(full);
  }
}

describe('output that cannot be written', () => {
  const commands = [
    ['who', 'free'],
    ['who', '--json', 'free'],
    ['session', 'status', 'absent'],
    ['session', 'status', '--json', 'absent'],
    ['session', 'create', 'made'],
    ['doctor', '.'],
    ['doctor', '--json', '.'],
    ['journal', 'events'],
    ['journal', '--summary', 'events'],
    ['journal', '--summary', '--json', 'events'],
    ['who', '--help'],
    ['--version'],
  ];

  test.runIf(has('fullDevice')).each(commands)(
    'holdfast %s %s exits with 71 when standard output is full',
    async (...words) => {
      await withTemporaryDirectory(async (directory) => {
        const events = path.join(directory, 'events');
        writeFileSync(events, '{"event":"a","time":"b","pid":1,"host":"c"}\n'.repeat(3));
        const files = new Set(['free', 'absent', 'made', 'events', '.']);
        const args = words.map((word) => (files.has(word) ? path.join(directory, word) : word));
        const exit = await withFullDevice((full) => exitOf(args, full, 'ignore'));
        expect(exit).toEqual({ code: 71, signal: null });
      });
    },
  );

  test.runIf(has('fullDevice'))(
    'holdfast run exits with 71 when the message that the lock is held cannot be written',
    async () => {
      await withTemporaryDirectory(async (directory) => {
        const target = path.join(directory, 'target');
        const held = await lock(target);
        try {
          const args = ['run', '--nonblock', target, '--', process.execPath, '--version'];
          const exit = await withFullDevice((full) => exitOf(args, 'ignore', full));
          expect(exit).toEqual({ code: 71, signal: null });
        } finally {
          await held.release();
        }
      });
    },
  );

  test.runIf(has('fullDevice'))(
    'holdfast exits with the code of its error when the message cannot be written',
    async () => {
      await withFullDevice(async (full) => {
        expect(await exitOf(['who'], 'ignore', full)).toEqual({ code: 64, signal: null });
        const missing = ['who', '/nonexistent/directory/file'];
        expect(await exitOf(missing, 'ignore', full)).toEqual({ code: 71, signal: null });
      });
    },
  );

  test('holdfast exits with 71 when the reader of standard error is gone', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      const held = await lock(target);
      try {
        await withChildren(async (children) => {
          const args = ['run', '--timeout', '1s', target, '--', process.execPath, '--version'];
          const child = children.spawnNode([commandFile, ...args]);
          child.process.stderr?.destroy();
          expect(await child.waitForExit()).toEqual({ code: 71, signal: null });
        });
      } finally {
        await held.release();
      }
    });
  });

  test('holdfast who answers as always when the reader of standard output is gone', async () => {
    await withTemporaryDirectory(async (directory) => {
      await withChildren(async (children) => {
        const child = children.spawnNode([commandFile, 'who', path.join(directory, 'free')]);
        child.process.stdout?.destroy();
        expect(await child.waitForExit()).toEqual({ code: 1, signal: null });
      });
    });
  });
});

describe('an error that is not caught', () => {
  const preload = (directory: string, program: string): Record<string, string> => {
    const file = path.join(directory, 'preload.cjs');
    writeFileSync(file, program);
    return { NODE_OPTIONS: `--require ${JSON.stringify(file)}` };
  };

  test.each([
    ['is thrown from a timer', "setTimeout(() => { throw new Error('from a\\u009b2J timer') }, 1)"],
    ['is a promise that rejects', "Promise.reject(new Error('from a\\u009b2J timer'))"],
    ['is no Error', "setTimeout(() => { throw 'from a\\u009b2J timer' }, 1)"],
  ])('holdfast exits with 71 and prints one line when it %s', async (_how, program) => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      const held = await lock(target);
      try {
        const args = ['run', '--timeout', '20s', target, '--', process.execPath, '--version'];
        const env = preload(directory, `setTimeout(() => { ${program} }, 1000);`);
        const result = await holdfast(args, { env });
        expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
        expect(result.stderr).toBe('holdfast: from a\\u{9b}2J timer\n');
      } finally {
        await held.release();
      }
    });
  });
});
