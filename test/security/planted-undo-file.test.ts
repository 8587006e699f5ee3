import { chmod, chown, lstat, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile, replaceFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withAgentInDirectory } from '../helpers/agent-in-directory.js';
import { ordinaryUser } from '../helpers/ordinary-user.js';
import { makeFile, modeOf } from '../helpers/replaced-file.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';
import { makeUndoFile, tornAfterBlock, undoNamesOf } from '../helpers/undo-file.js';
import type { UndoFile } from '../helpers/undo-file.js';

const old = Buffer.alloc(9000, 'old bytes ');
const next = Buffer.alloc(9000, 'NEW BYTES ');
const torn = tornAfterBlock(old, next);

/** Hands `use` a torn file and its undo file, which belongs to `owner` in a directory that belongs to `directoryOwner`. */
async function withTornFile(
  options: Partial<UndoFile> & {
    undoOwner?: typeof ordinaryUser;
    owner?: typeof ordinaryUser;
    directoryOwner?: typeof ordinaryUser;
    targetMode?: number;
  },
  use: (target: string, undo: string) => Promise<void>,
): Promise<void> {
  const { undoOwner, owner, directoryOwner, targetMode = 0o640, ...undo } = options;
  await withTemporaryDirectory(
    async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), torn, targetMode);
      const file = await makeUndoFile({ target, old, next, ...undo });
      if (undoOwner) await chown(file, undoOwner.uid, undoOwner.gid);
      if (owner) await chown(target, owner.uid, owner.gid);
      await chmod(target, targetMode);
      await use(target, file);
    },
    directoryOwner && { owner: directoryOwner },
  );
}

async function expectUntouched(target: string, undo: string, use: () => Promise<unknown>) {
  const before = await stat(target, { bigint: true });
  const kept = await readFile(undo);
  const error: unknown = await use().catch((reason: unknown) => reason);
  const { ino, mode, ctimeNs } = await stat(target, { bigint: true });
  expect({ ino, mode, ctimeNs }).toEqual({
    ino: before.ino,
    mode: before.mode,
    ctimeNs: before.ctimeNs,
  });
  expect(await readFile(undo)).toEqual(kept);
  return error;
}

test.runIf(has('modes'))(
  'readRegularFile restores from an undo file as docs/protocol.md has it',
  async () => {
    await withTornFile({ oldMode: 0o600 }, async (target) => {
      expect((await readRegularFile(target))?.contents.equals(old)).toBe(true);
      expect(await modeOf(target)).toBe(0o600);
      expect(await readdir(path.dirname(target))).toEqual(['data']);
    });
  },
);

describe.runIf(has('ordinaryUser'))('as root', () => {
  const verbs = [
    ['readRegularFile', (target: string) => readRegularFile(target)],
    ['replaceFile', (target: string) => replaceFile(target, 'new')],
  ] as const;

  test.each(verbs)('%s refuses an undo file of another user', async (_name, use) => {
    for (const directoryOwner of [undefined, ordinaryUser]) {
      await withTornFile(
        { undoOwner: ordinaryUser, ...(directoryOwner && { directoryOwner }) },
        async (target, undo) => {
          const error = await expectUntouched(target, undo, () => use(target));
          expect(error).toMatchObject({
            ...{ name: 'HoldfastError', code: 'EPERM', refused: true, path: undo },
            message: expect.stringContaining(`uid ${ordinaryUser.uid}`) as string,
          });
        },
      );
    }
  });

  test.each(verbs)('%s restores no file of another user in his directory', async (_name, use) => {
    await withTornFile(
      { owner: ordinaryUser, directoryOwner: ordinaryUser, oldMode: 0o2775 },
      async (target, undo) => {
        const error = await expectUntouched(target, undo, () => use(target));
        expect(error).toMatchObject({ code: 'EPERM', refused: true });
      },
    );
  });

  test.each(verbs)('%s takes no set-id bits from an undo file', async (name, use) => {
    await withTornFile({ oldMode: 0o6755 }, async (target) => {
      await use(target);
      expect(await modeOf(target)).toBe(0o755);
      if (name === 'readRegularFile') expect(await readFile(target)).toEqual(old);
    });
  });
});

const crafted: [what: string, undo: Partial<UndoFile>][] = [
  ['without the time that holdfast gives it', { sealed: false }],
  ['that others may read', { mode: 0o644 }],
  ['that others may write', { mode: 0o622 }],
  ['with a size of its own', { alter: (header) => header.writeBigUInt64LE(1n << 40n, 40) }],
  [
    'with a size that wraps around',
    { alter: (header) => header.writeBigUInt64LE(2n ** 64n - 1n, 40) },
  ],
  ['with more sums than bytes', { alter: (header) => header.writeBigUInt64LE(1n << 42n, 48) }],
  [
    'with a new size that wraps around',
    { alter: (header) => header.writeBigUInt64LE(2n ** 64n - 4096n, 48) },
  ],
  ['with other old contents', { damage: (bytes) => (bytes[bytes.length - 1] = 1) }],
  ['with another header', { damage: (bytes) => (bytes[20] = 1) }],
  ['of another format', { damage: (bytes) => bytes.write('holdfast copy 1') }],
];

describe.runIf(has('modes'))('an undo file', () => {
  test.each(crafted)('%s is refused by its name, and kept', async (_what, undo) => {
    await withTornFile(undo, async (target, file) => {
      for (const use of [() => readRegularFile(target), () => replaceFile(target, 'new')]) {
        const error = await expectUntouched(target, file, use);
        expect(error).toMatchObject({ code: 'ECORRUPT', refused: true, path: file });
      }
    });
  });

  test('of 15 TiB without contents is refused at once', async () => {
    await withTornFile(
      { alter: (header) => header.writeBigUInt64LE(15n << 40n, 40) },
      async (target, file) => {
        const { mtime, size } = await stat(file);
        const handle = await open(file, 'r+');
        try {
          await handle.truncate(size - old.length + 15 * 2 ** 40);
          await handle.utimes(mtime, mtime);
        } catch (error) {
          // ext4 ends at 16 TiB, other file systems earlier.
          expect(error).toMatchObject({ code: 'EFBIG' });
          return;
        } finally {
          await handle.close();
        }
        const { usage: before } = { usage: process.cpuUsage() };
        await expect(readRegularFile(target)).rejects.toMatchObject({
          code: 'ECORRUPT',
          path: file,
        });
        await expect(replaceFile(target, 'new')).rejects.toMatchObject({
          code: 'ECORRUPT',
          path: file,
        });
        const { user, system } = process.cpuUsage(before);
        expect(user + system).toBeLessThan(5_000_000);
      },
    );
  });

  test('is not read beyond maxBytes', async () => {
    await withTornFile({}, async (target, file) => {
      const read = () => readRegularFile(target, { maxBytes: old.length - 1 });
      const error = await expectUntouched(target, file, read);
      expect(error).toMatchObject({ code: 'EFBIG' });
      expect((await readRegularFile(target, { maxBytes: old.length }))?.contents).toEqual(old);
    });
  });

  test('of a file that is whole says nothing of it, whatever else it claims', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'whole', 0o600);
      await makeUndoFile({
        target,
        old: Buffer.from('whole'),
        next,
        oldMode: 0o777,
        sealed: false,
      });
      expect((await readRegularFile(target))?.contents.toString()).toBe('whole');
      expect(await modeOf(target)).toBe(0o600);
    });
  });
});

const obstacles = [
  ['an empty file', (name: string) => makeFile(name, '', 0o600)],
  ['an empty directory', (name: string) => mkdir(name)],
] as const;

describe.each(obstacles)('%s in the place of an undo file', (_what, plant) => {
  test('is removed where that is ours to do', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const name of await undoNamesOf(target)) await plant(path.join(directory, name));
      expect((await readRegularFile(target))?.contents.toString()).toBe('old');
      expect(await readdir(directory)).toEqual(['data']);
      for (const name of await undoNamesOf(target)) await plant(path.join(directory, name));
      await replaceFile(target, 'new', { copyFallback: 'always' });
      expect(await readdir(directory)).toEqual(['data']);
    });
  });
});

describe.runIf(has('ordinaryUser'))(
  "what root has put in the place of an ordinary user's undo file",
  () => {
    test('is named with its owner when a copy needs that name', async () => {
      await withAgentInDirectory(undefined, async (directory, _agent, agents) => {
        await chmod(directory, 0o1777);
        const agent = await agents.process(ordinaryUser);
        const target = await makeFile(path.join(directory, 'data'), 'old');
        await chown(target, ordinaryUser.uid, ordinaryUser.gid);
        const [byName] = await undoNamesOf(target);
        const obstacle = path.join(directory, byName);
        for (const [, plant] of obstacles) {
          await plant(obstacle);
          await expect(
            agent.replaceFile(target, 'new', { copyFallback: 'always' }),
          ).rejects.toMatchObject({
            ...{ code: 'ECORRUPT', refused: true, path: obstacle },
            message: expect.stringContaining('uid 0') as string,
          });
          expect((await lstat(obstacle)).uid).toBe(0);
          expect(await readFile(target, 'utf8')).toBe('old');
          await rm(obstacle, { recursive: true });
        }
      });
    });
  },
);
