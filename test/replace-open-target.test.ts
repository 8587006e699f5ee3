import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { replaceFile, replaceFileSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child } from './helpers/child.js';
import { expectFile, makeFile, replaceBy, replaceForms } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** Has the file open until something comes on its standard input, and then prints what it reads. */
const holdOpen = `
  const { closeSync, openSync, readFileSync } = require('node:fs');
  const [file, flags] = process.argv.slice(1);
  const descriptor = openSync(file, Number(flags));
  process.stdout.write('open\\n');
  process.stdin.once('data', () => {
    const contents = readFileSync(descriptor, 'utf8');
    closeSync(descriptor);
    process.stdout.write('read ' + contents + '\\n', () => process.exit(0));
  });`;

/** libuv's UV_FS_O_EXLOCK: nobody else gets the file open, which only Windows knows. */
const alone = 0x10_00_00_00;

async function whileOpen(
  file: string,
  flags: number,
  use: (holder: Child) => Promise<void>,
): Promise<void> {
  await withChildren(async (children) => {
    const holder = children.spawnNode(['-e', holdOpen, file, `${flags}`]);
    await holder.waitForOutput(/open/);
    await use(holder);
  });
}

describe.each(replaceForms)('%s over a target that another process has open', (form) => {
  test('replaces it, and that process goes on with the old contents', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = await makeFile(path.join(directory, 'data'), 'old');
      await whileOpen(file, 0, async (holder) => {
        const result = await replaceBy(form, file, 'new', { copyFallback: 'never' });
        expect(result.method).toBe(has('replaceOpenFiles') ? 'rename' : 'replace-file');
        await expectFile(file, { contents: 'new' });
        holder.process.stdin?.write('.');
        await holder.waitForOutput(/read old/);
        expect(await holder.waitForExit()).toEqual({ code: 0, signal: null });
      });
      expect(await readdir(directory)).toEqual(['data']);
    });
  });

  test.runIf(has('windowsPaths'))(
    'for itself alone waits as long as retry says, and then fails as a busy file does',
    async () => {
      await withTemporaryDirectory(async (directory) => {
        const file = await makeFile(path.join(directory, 'data'), 'old');
        await whileOpen(file, alone, async (holder) => {
          for (const copyFallback of ['auto', 'never'] as const) {
            const started = performance.now();
            await expect(
              replaceBy(form, file, 'new', { copyFallback, retry: 200 }),
            ).rejects.toMatchObject({
              ...{ code: 'EBUSY', win32Code: 32, published: false, targetState: 'old' },
            });
            expect(performance.now() - started).toBeGreaterThanOrEqual(195);
            expect(await readdir(directory)).toEqual(['data']);
          }
          holder.process.stdin?.write('.');
          await holder.waitForOutput(/read old/);
        });
        await expectFile(file, { contents: 'old' });
      });
    },
  );
});

test.runIf(has('windowsPaths'))(
  'a replace goes on as soon as the file is closed, and says how long that took',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = await makeFile(path.join(directory, 'data'), 'old');
      await whileOpen(file, alone, async (holder) => {
        const replaced = replaceFile(file, 'new');
        setTimeout(() => holder.process.stdin?.write('.'), 100);
        const { attempts, waitedMs, method } = await replaced;
        expect(attempts).toBeGreaterThan(1);
        expect(waitedMs).toBeGreaterThan(50);
        expect(method).toBe('rename');
      });
      await expectFile(file, { contents: 'new' });
    });
  },
);

test('an abort ends the wait for a busy file, or comes too late', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = await makeFile(path.join(directory, 'data'), 'old');
    const waits = has('windowsPaths');
    await whileOpen(file, waits ? alone : 0, async () => {
      const abort = new AbortController();
      const replaced = replaceFile(file, 'new', { signal: abort.signal });
      const reason = new Error('enough');
      setTimeout(() => {
        abort.abort(reason);
      }, 100);
      if (waits) await expect(replaced).rejects.toBe(reason);
      else await replaced;
    });
    expect(await readFile(file, 'utf8')).toBe(waits ? 'old' : 'new');
    expect(await readdir(directory)).toEqual(['data']);
  });
});

test.each(replaceForms)('%s of a read-only target does what the system does', async (form) => {
  await withTemporaryDirectory(async (directory) => {
    const file = await makeFile(path.join(directory, 'data'), 'old');
    await chmod(file, 0o444);
    if (has('windowsPaths')) {
      await expect(replaceBy(form, file, 'new', { retry: 5000 })).rejects.toMatchObject({
        ...{ code: 'EPERM', win32Code: 5, published: false, targetState: 'old' },
      });
      await expectFile(file, { contents: 'old' });
    } else {
      await replaceBy(form, file, 'new');
      await expectFile(file, { contents: 'new', mode: 0o444 });
    }
    expect((await stat(file)).mode & 0o222).toBe(0);
    expect(await readdir(directory)).toEqual(['data']);
    await chmod(file, 0o644);
  });
});

test('a target that is missing is made, by one try', async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'data');
    expect(replaceFileSync(file, 'new')).toMatchObject({
      method: 'rename',
      attempts: 1,
      waitedMs: 0,
    });
    await expectFile(file, { contents: 'new' });
  });
});
