import { chmod, link, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import fc from 'fast-check';
import { incrementSessionCounter, safeFileName, safeSessionPath } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, withChildren } from './helpers/child.js';
import { withDirectoryLink } from './helpers/directory-link.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { adversarialIds } from './helpers/session-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';

async function withRoot<T>(use: (root: string, home: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory(async (home) => {
    const root = path.join(home, 'root');
    await mkdir(root);
    return use(root, home);
  });
}

const anyId = fc.oneof(
  fc.anything(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(...adversarialIds),
);

describe('safeSessionPath', () => {
  const root = path.resolve('root');

  test('is a name of its own directly inside of the root, whatever the id', () => {
    fc.assert(
      fc.property(anyId, (id) => {
        const file = safeSessionPath(root, id);
        expect(path.dirname(file)).toBe(root);
        expect(path.basename(file)).toBe(safeFileName(id));
        expect(path.resolve(file)).toBe(file);
      }),
    );
  });

  test('is another one for every id', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        fc.pre(a !== b);
        expect(safeSessionPath(root, a)).not.toBe(safeSessionPath(root, b));
      }),
    );
  });

  test('makes the root absolute, and touches nothing', async () => {
    await withTemporaryDirectory(async (directory) => {
      expect(safeSessionPath('root', 's-1')).toBe(path.join(root, 's-1'));
      expect(safeSessionPath(path.join(directory, 'x'), 's-1')).toBe(
        path.join(directory, 'x', 's-1'),
      );
      expect(await readdir(directory)).toEqual([]);
    });
  });

  test.each(['', 'a\0b', 42, null])('a root that is %j is a TypeError', (wrong) => {
    expect(() => safeSessionPath(wrong as string, 's-1')).toThrow(TypeError);
  });
});

describe('incrementSessionCounter', () => {
  test('counts for each session apart', async () => {
    await withRoot(async (root) => {
      for (const session of ['s-1', 'S-1', 'a/b', 'a_b', '']) {
        for (const expected of [1, 2, 3]) {
          expect(await incrementSessionCounter(root, session), session).toBe(expected);
        }
      }
      expect(await readFile(path.join(safeSessionPath(root, 's-1'), 'count'), 'utf8')).toBe('3\n');
    });
  });

  test('gives no value twice, in however many processes', async () => {
    await withRoot(async (root) => {
      const calls = 20;
      const values = await withLockAgents(async (agents) => {
        const counting = await Promise.all([1, 2, 3].map(() => agents.process()));
        return Promise.all(
          counting.flatMap((agent) =>
            Array.from({ length: calls }, () =>
              agent.call<number>('incrementSessionCounter', root, 's-1'),
            ),
          ),
        );
      });
      expect(values.sort((a, b) => a - b)).toEqual(values.map((_, index) => index + 1));
    });
  });

  test.runIf(has('modes'))('makes a directory of mode 0700 and a file of mode 0600', async () => {
    await withRoot(async (root) => {
      await withLockAgents(async (agents) => {
        const agent = await agents.process();
        for (const umask of [0o000, 0o777]) {
          await agent.umask(umask);
          await agent.call('incrementSessionCounter', root, `s-${umask}`);
          const directory = safeSessionPath(root, `s-${umask}`);
          expect((await stat(directory)).mode & 0o7777).toBe(0o700);
          expect((await stat(path.join(directory, 'count'))).mode & 0o7777).toBe(0o600);
        }
      });
    });
  });

  test.runIf(has('modes'))('leaves the permissions of a directory that is there', async () => {
    await withRoot(async (root) => {
      const directory = safeSessionPath(root, 's-1');
      await mkdir(directory);
      await chmod(directory, 0o750);
      await incrementSessionCounter(root, 's-1');
      expect((await stat(directory)).mode & 0o777).toBe(0o750);
    });
  });

  test.each(adversarialIds)('of a session called %j stays in the root', async (id) => {
    await withRoot(async (root, home) => {
      expect(await incrementSessionCounter(root, id)).toBe(1);
      expect(await incrementSessionCounter(root, id)).toBe(2);
      expect(await readdir(home)).toEqual(['root']);
      const name = safeFileName(id);
      expect((await readdir(root)).sort()).toEqual([`.${name}.lock`, name].sort());
    });
  });

  test.runIf(has('directoryLinks'))(
    'refuses a session’s directory that is a link, outwards or inwards',
    async () => {
      await withRoot(async (root, home) => {
        const victim = path.join(home, 'victim');
        const inside = path.join(root, 'other');
        for (const target of [victim, inside]) {
          await mkdir(target);
          await writeFile(path.join(target, 'count'), '5\n');
          await withDirectoryLink(target, safeSessionPath(root, 's-1'), async () => {
            const expectUntouched = await watchUntouched(target);
            await expect(incrementSessionCounter(root, 's-1')).rejects.toMatchObject({
              ...{ code: 'ELOOP', refused: true },
            });
            await expectUntouched();
          });
        }
      });
    },
  );

  test.runIf(has('symlinks'))('does not follow a link that is put there meanwhile', async () => {
    await withRoot(async (root, home) => {
      const victim = path.join(home, 'victim');
      await mkdir(victim);
      await writeFile(path.join(victim, 'count'), '5\n');
      const expectUntouched = await watchUntouched(victim);
      const swaps = atScale(20_000, 500);
      const outcomes = await withChildren(async (children) => {
        const args = [safeSessionPath(root, 's-1'), victim, `${swaps}`];
        const swapping = children.fork('swap-directory.mjs', { args });
        await swapping.waitForMessage('ready');
        swapping.send('go');
        const ended = new AbortController();
        const end = swapping.waitForExit(limitAtScale(120_000)).finally(() => ended.abort());
        const codes = new Map<string, number>();
        while (!ended.signal.aborted) {
          const code = await incrementSessionCounter(root, 's-1').then(
            () => 'counted',
            (error: unknown) => String((error as NodeJS.ErrnoException).code),
          );
          codes.set(code, (codes.get(code) ?? 0) + 1);
        }
        expect(await end).toEqual({ code: 0, signal: null });
        return codes;
      });
      // The others were refused, or found no directory for a moment, which is told in several ways.
      await expectUntouched();
      const counts = [...outcomes].map(([code, count]) => `${count} ${code}`).join(', ');
      printFigure(`a directory that became a link ${swaps} times: ${counts}`);
    });
  });

  test.runIf(has('readableDirectoryLinks'))('takes a root that is reached by a link', async () => {
    await withRoot(async (root, home) => {
      await withDirectoryLink(root, path.join(home, 'link'), async () => {
        expect(await incrementSessionCounter(path.join(home, 'link'), 's-1')).toBe(1);
        expect(await incrementSessionCounter(root, 's-1')).toBe(2);
      });
    });
  });

  test('refuses a counter that is another name of a file', async () => {
    await withRoot(async (root, home) => {
      const victim = path.join(home, 'victim');
      const directory = safeSessionPath(root, 's-1');
      await mkdir(directory);
      await writeFile(victim, '5\n');
      await link(victim, path.join(directory, 'count'));
      await expect(incrementSessionCounter(root, 's-1')).rejects.toMatchObject({ code: 'EMLINK' });
      expect(await readFile(victim, 'utf8')).toBe('5\n');
    });
  });

  test.runIf(has('symlinks'))('refuses a counter that is a link', async () => {
    await withRoot(async (root, home) => {
      const directory = safeSessionPath(root, 's-1');
      await mkdir(directory);
      await symlink(path.join(home, 'victim'), path.join(directory, 'count'));
      await expect(incrementSessionCounter(root, 's-1')).rejects.toMatchObject({
        ...{ code: 'ELOOP', refused: true },
      });
      expect(await readdir(home)).toEqual(['root']);
    });
  });

  test.runIf(has('fifos'))('refuses a counter that is a FIFO, without waiting', async () => {
    await withRoot(async (root) => {
      const directory = safeSessionPath(root, 's-1');
      await mkdir(directory);
      const made = await run('mkfifo', [path.join(directory, 'count')]);
      expect(made).toMatchObject({ code: 0, signal: null });
      await expect(incrementSessionCounter(root, 's-1')).rejects.toMatchObject({ code: 'EINVAL' });
    });
  });

  test.each([
    ...['', 'five\n', '05\n', '-1\n', '1.5\n', '5', '5\n5\n', '0\n'],
    ...['9007199254740991\n', '99999999999999999\n', '9'.repeat(1000)],
  ])('leaves a file alone that holds no count: %j', async (contents) => {
    await withRoot(async (root) => {
      const directory = safeSessionPath(root, 's-1');
      await mkdir(directory);
      await writeFile(path.join(directory, 'count'), contents);
      await expect(incrementSessionCounter(root, 's-1')).rejects.toMatchObject({
        ...{ code: 'ECORRUPT', path: path.join(directory, 'count') },
      });
      expect(await readFile(path.join(directory, 'count'), 'utf8')).toBe(contents);
    });
  });

  test('needs the root, and says what is wrong with its arguments', async () => {
    await withRoot(async (root) => {
      const missing = path.join(root, 'missing');
      await expect(incrementSessionCounter(missing, 's-1')).rejects.toMatchObject({
        code: 'ENOENT',
      });
      await expect(incrementSessionCounter('', 's-1')).rejects.toThrow(TypeError);
      const wrong = { tmeout: 1 } as object;
      await expect(incrementSessionCounter(root, 's-1', wrong)).rejects.toThrow(/unknown option/);
      const reason = new Error('no longer wanted');
      const signal = AbortSignal.abort(reason);
      await expect(incrementSessionCounter(root, 's-1', { signal })).rejects.toBe(reason);
      expect(await readdir(root)).toEqual([]);
    });
  });
});
