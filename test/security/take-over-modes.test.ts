import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import {
  incrementSessionCounter,
  JobStore,
  lock,
  lockSync,
  replaceFile,
  SessionLock,
  updateFile,
  updateFileSync,
  updateJson,
  withLock,
  withLockSync,
} from 'holdfast';
import type { LockSyncOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withChildren } from '../helpers/child.js';
import { attacker, filesBelow, plantHolder } from '../helpers/planted-holder.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

interface Lockfile {
  lock: (file: string, options: object) => Promise<() => Promise<void>>;
}
const properLockfile = createRequire(import.meta.url)('holdfast/proper-lockfile') as Lockfile;

type Owners = Pick<LockSyncOptions, 'owners'>;

/** Every verb that locks: each is to end, with whatever outcome, having waited for the planted holder. */
const verbs: Record<string, (directory: string, owners: Owners) => unknown> = {
  lock: async (directory, owners) => (await lock(`${directory}/file`, owners)).release(),
  lockSync: (directory, owners) => {
    lockSync(`${directory}/file`, owners).releaseSync();
  },
  withLock: (directory, owners) => withLock(`${directory}/file`, owners, () => 'done'),
  withLockSync: (directory, owners) => withLockSync(`${directory}/file`, owners, () => 'done'),
  'lock with a ttl': async (directory, owners) =>
    (await lock(`${directory}/file`, { ...owners, ttl: 60_000 })).release(),
  'lock, shared': async (directory, owners) =>
    (await lock(`${directory}/file`, { ...owners, shared: true })).release(),
  updateFile: (directory, owners) => updateFile(`${directory}/file`, () => 'new', owners),
  updateFileSync: (directory, owners) => updateFileSync(`${directory}/file`, () => 'new', owners),
  updateJson: (directory, owners) => updateJson(`${directory}/file`, () => ({ n: 1 }), owners),
  'replaceFile with ifMatch': (directory) =>
    replaceFile(`${directory}/file`, 'new', { ifMatch: null }),
  'JobStore.update': (directory, owners) =>
    new JobStore(directory, owners).update('job', () => ({ status: 'running' })),
  'SessionLock.create': (directory) =>
    new SessionLock(`${directory}/file`).create({ session: 'one' }),
  incrementSessionCounter: (directory) => incrementSessionCounter(directory, 'session'),
  'proper-lockfile.lock': async (directory) => {
    writeFileSync(`${directory}/file`, '');
    const release = await properLockfile.lock(`${directory}/file`, { retries: 0 });
    await release();
  },
};

/** Lock files that `verb` makes below a fresh directory, relative to it. */
async function lockFilesOf(
  verb: (directory: string, owners: Owners) => unknown,
): Promise<string[]> {
  return withTemporaryDirectory(async (directory) => {
    const seen = new Set<string>();
    const look = () => {
      for (const { name } of filesBelow(directory)) if (/\.lock$/.test(name)) seen.add(name);
    };
    await verb(directory, {});
    look();
    return [...seen].filter((name) => path.basename(name).startsWith('.'));
  });
}

async function attack(
  name: string,
  place: { owner: { uid: number; gid: number }; mode: number },
  owners: Owners,
): Promise<ReturnType<typeof filesBelow>> {
  const verb = verbs[name];
  if (verb === undefined) throw new RangeError(name);
  const lockFiles = name === 'proper-lockfile.lock' ? ['.file.lock'] : await lockFilesOf(verb);
  expect(lockFiles).not.toEqual([]);
  return withTemporaryDirectory(
    async (directory) =>
      withChildren(async (children) => {
        for (const lockFile of lockFiles) {
          const parent = path.join(directory, path.dirname(lockFile));
          mkdirSync(parent, { recursive: true });
          if (parent !== path.join(directory, '.')) {
            chownSync(parent, place.owner.uid, place.owner.gid);
            chmodSync(parent, place.mode);
          }
          await plantHolder(children, path.join(directory, lockFile), 0o6777);
        }
        // What the attacker could do with a file that is there only for a moment, the modes of the end show as well.
        await Promise.resolve(verb(directory, owners)).catch((error: unknown) => {
          expect(error).toMatchObject({ code: expect.stringMatching(/^E/) as string });
        });
        const left = filesBelow(directory);
        for (const lockFile of lockFiles) rmSync(path.join(directory, lockFile), { force: true });
        return left;
      }),
    { owner: place.owner, mode: place.mode },
  );
}

const home = { owner: attacker, mode: 0o755 };
const shared = { owner: { uid: 0, gid: 0 }, mode: 0o1777 };
const takesOwners = new Set(Object.keys(verbs).slice(0, 9).concat('JobStore.update'));

describe.runIf(has('ordinaryUser', 'flockCommand'))('a planted lock file with set-id bits', () => {
  test.each(Object.keys(verbs))(
    '%s by root leaves no file of root’s with the attacker’s mode in his home',
    async (name) => {
      for (const file of await attack(name, home, {})) {
        // Only the attacker's own file may have the bits that he set on it.
        if (file.uid === attacker.uid && file.mode === 0o6777) continue;
        expect(file.mode & 0o7000, file.name).toBe(0);
        if (file.uid !== attacker.uid) expect(file.mode & 0o022, file.name).toBe(0);
      }
    },
  );

  test.each([...takesOwners])(
    "%s by root with owners: 'any' makes a private lock file in a directory that everybody can write",
    async (name) => {
      const files = await attack(name, shared, { owners: 'any' });
      for (const file of files.filter(({ uid }) => uid === 0)) {
        expect(file.mode & 0o7022, file.name).toBe(0);
        if (file.name.endsWith('.lock')) expect(file.mode, file.name).toBe(0o600);
      }
      expect(files.some(({ uid, name }) => uid === 0 && name.endsWith('.lock'))).toBe(true);
    },
  );
});
