/** What README.md says of other packages, seen with those packages. What it says of holdfast, docs/comparison.md names the tests of. */
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, withChildren } from './helpers/child.js';
import type { Child, ChildOptions, Children } from './helpers/child.js';
import { freeBytes, withBindMount, withSmallTmpfs } from './helpers/mounts.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Locker = 'proper-lockfile' | 'fs-native-extensions' | 'fs-safe';
type Replacer = 'write-file-atomic' | 'fs-safe';
const replacers: readonly Replacer[] = ['write-file-atomic', 'fs-safe'];

/** Starts a process that takes the lock, and resolves with it and with what came of that: `done`, or an error's code. */
async function take(
  children: Children,
  peer: Locker,
  target: string,
): Promise<{ child: Child; outcome: string }> {
  const child = children.fork('peer.mjs', { args: ['lock', peer, target] });
  return { child, outcome: await outcomeOf(child) };
}

async function outcomeOf(child: Child): Promise<string> {
  const failed = child.waitForMessage('failed').then(({ code }) => String(code));
  const done = child.waitForMessage('done').then(() => 'done');
  // One of the two never comes.
  failed.catch(() => undefined);
  done.catch(() => undefined);
  return Promise.any([failed, done]);
}

async function replace(
  peer: Replacer,
  file: string,
  contents: string | Buffer,
  options: ChildOptions = {},
): Promise<string> {
  return withTemporaryDirectory((directory) =>
    withChildren((children) => {
      const source = path.join(directory, 'contents');
      writeFileSync(source, contents);
      const args = ['replace', peer, file, source];
      return outcomeOf(children.fork('peer.mjs', { args, ...options }));
    }),
  );
}

/** A file with old contents, in a directory of its own. */
async function withFile<T>(use: (file: string, directory: string) => T | Promise<T>): Promise<T> {
  return withTemporaryDirectory((directory) => {
    const file = path.join(directory, 'file');
    writeFileSync(file, 'old');
    return use(file, directory);
  });
}

/** Where locks go by the time of a file, that time is over. */
function makeOld(directory: string): void {
  const past = new Date(Date.now() - 60_000);
  for (const name of readdirSync(directory)) utimesSync(path.join(directory, name), past, past);
}

// What others do was seen on Linux, and docs/comparison.md says so: on Windows they go other ways.
const seenHere = has('peers', 'proc');

describe.runIf(seenHere)('locks of other packages', () => {
  test.each([
    ['proper-lockfile', 'when its stale time is over'],
    ['fs-native-extensions', 'at once'],
    ['fs-safe', 'not by itself'],
  ] as const)('after a kill, the lock of %s is free: %s', (peer, when) =>
    withFile((file, directory) =>
      withChildren(async (children) => {
        const { child, outcome } = await take(children, peer, file);
        expect(outcome).toBe('done');
        child.kill('SIGKILL');
        await child.waitForExit();
        const isFree = async (): Promise<boolean> =>
          (await take(children, peer, file)).outcome === 'done';
        expect(await isFree()).toBe(when === 'at once');
        makeOld(directory);
        if (when !== 'at once') expect(await isFree()).toBe(when !== 'not by itself');
      }),
    ),
  );

  test.runIf(has('signals')).each([
    ['proper-lockfile', 'robbed'],
    ['fs-native-extensions', 'kept'],
    ['fs-safe', 'kept'],
  ] as const)('a stopped holder of %s, when its stale time is over: %s', (peer, expected) =>
    withFile((file, directory) =>
      withChildren(async (children) => {
        const { child } = await take(children, peer, file);
        child.kill('SIGSTOP');
        makeOld(directory);
        const { outcome } = await take(children, peer, file);
        expect(outcome === 'done' ? 'robbed' : 'kept').toBe(expected);
      }),
    ),
  );
});

describe.runIf(seenHere).each(replacers)('a replace by %s', (peer) => {
  test.runIf(has('mountTmpfs'))('on a disk that has no room for all of it', () =>
    withSmallTmpfs(async (root) => {
      const file = path.join(root, 'file');
      writeFileSync(file, 'old'.repeat(1000));
      const contents = Buffer.alloc((await freeBytes(root)) + 1000, 'n');
      const outcome = await replace(peer, file, contents);
      const left = readFileSync(file);
      if (peer === 'write-file-atomic') {
        expect(outcome).toBe('done');
        expect(left.length).toBeLessThan(contents.length);
        expect(left.includes('old')).toBe(false);
      } else {
        expect(outcome).toBe('ENOSPC');
        expect(left.toString()).toBe('old'.repeat(1000));
      }
    }),
  );

  test.runIf(has('symlinks'))('of a symbolic link', () =>
    withFile(async (file, directory) => {
      const link = path.join(directory, 'link');
      symlinkSync('file', link);
      expect(await replace(peer, link, 'new')).toBe('done');
      const followed = peer === 'write-file-atomic';
      expect(lstatSync(link).isSymbolicLink()).toBe(followed);
      expect(readFileSync(file, 'utf8')).toBe(followed ? 'new' : 'old');
    }),
  );

  test('of a file with two names leaves one of them with the old contents', () =>
    withFile(async (file, directory) => {
      const twin = path.join(directory, 'twin');
      linkSync(file, twin);
      expect(await replace(peer, file, 'new')).toBe('done');
      expect(readFileSync(twin, 'utf8')).toBe('old');
    }));

  test.runIf(has('bindMount'))('of a file that is mounted', () =>
    withFile(async (file, directory) => {
      const place = path.join(directory, 'place');
      writeFileSync(place, 'old');
      await withBindMount(file, place, async () => {
        expect(await replace(peer, place, 'new')).toBe('EBUSY');
      });
    }),
  );

  test.runIf(has('extendedAttributes'))('loses extended attributes', () =>
    withFile(async (file) => {
      const python = (code: string) =>
        run('python3', ['-c', `import os, sys; ${code}`, file]).then(({ stdout }) => stdout.trim());
      await python('os.setxattr(sys.argv[1], "user.a", b"b")');
      expect(await python('print(os.listxattr(sys.argv[1]))')).toContain('user.a');
      expect(await replace(peer, file, 'new')).toBe('done');
      expect(await python('print(os.listxattr(sys.argv[1]))')).not.toContain('user.a');
    }),
  );

  test.runIf(has('modes'))('in a directory of mode 0755', () =>
    withFile(async (file, directory) => {
      const place = path.join(directory, 'place');
      mkdirSync(place);
      chmodSync(place, 0o755);
      expect(await replace(peer, path.join(place, 'file'), 'new')).toBe('done');
      expect(statSync(place).mode & 0o777).toBe(peer === 'fs-safe' ? 0o700 : 0o755);
      expect(readFileSync(file, 'utf8')).toBe('old');
    }),
  );

  test.runIf(has('strace'))('that is killed before its rename leaves a temporary file', () =>
    withFile(async (file, directory) => {
      const prefix = [
        ...['strace', '-f', '-o', '/dev/null'],
        ...['-e', 'inject=rename,renameat,renameat2:signal=KILL'],
      ];
      const outcome = replace(peer, file, 'new', { prefix });
      await expect(outcome).rejects.toThrow();
      expect(readFileSync(file, 'utf8')).toBe('old');
      expect(readdirSync(directory)).toHaveLength(2);
    }),
  );
});
