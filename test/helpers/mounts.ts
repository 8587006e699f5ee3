import { mkdir, statfs, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { run } from './child.js';
import { withTemporaryDirectory } from './temporary-directory.js';

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr}`);
}

async function whileMounted<T>(
  args: readonly string[],
  place: string,
  use: () => T | Promise<T>,
): Promise<T> {
  await must('mount', [...args, place]);
  try {
    return await use();
  } finally {
    await must('umount', [place]);
  }
}

/** Hands `use` the root of an empty tmpfs of 64 KiB. Asks for the capability `mountTmpfs`. */
export async function withSmallTmpfs<T>(use: (root: string) => T | Promise<T>): Promise<T> {
  return withTemporaryDirectory(async (place) =>
    whileMounted(['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs'], place, () => use(place)),
  );
}

/** Runs `use` while the file system of `root`, which was mounted by a function of this module, may not be written. */
export async function whileReadOnly<T>(root: string, use: () => T | Promise<T>): Promise<T> {
  await must('mount', ['-o', 'remount,ro', root]);
  try {
    return await use();
  } finally {
    await must('mount', ['-o', 'remount,rw', root]);
  }
}

/** Hands `use` the root of an empty ext4 of 2 MiB. Asks for the capability `mountExt4`. */
export async function withSmallExt4<T>(use: (root: string) => T | Promise<T>): Promise<T> {
  return withTemporaryDirectory(async (directory) => {
    const image = path.join(directory, 'image');
    const place = path.join(directory, 'place');
    await writeFile(image, '');
    await truncate(image, 2 * 1024 * 1024);
    await mkdir(place);
    await must('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', image]);
    return whileMounted(['-o', 'loop', image], place, () => use(place));
  });
}

/**
 * Hands `use` the root of an empty ext4 of 2 MiB, and what mounts it anew, as another device. Asks for the capability
 * `mountExt4`.
 */
export async function withRemountableExt4<T>(
  use: (root: string, remount: () => Promise<void>) => Promise<T>,
): Promise<T> {
  return withTemporaryDirectory(async (directory) => {
    const image = path.join(directory, 'image');
    const place = path.join(directory, 'place');
    const other = path.join(directory, 'other');
    await writeFile(image, '');
    await truncate(image, 2 * 1024 * 1024);
    await mkdir(place);
    await mkdir(other);
    await must('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', image]);
    return whileMounted(['-o', 'loop', image], place, () =>
      use(place, async () => {
        await must('umount', [place]);
        // Takes the device that was free first.
        const taken = path.join(directory, 'taken');
        await writeFile(taken, '');
        await truncate(taken, 2 * 1024 * 1024);
        await must('mkfs.ext4', ['-q', '-F', taken]);
        await must('mount', ['-o', 'loop', taken, other]);
        try {
          await must('mount', ['-o', 'loop', image, place]);
        } finally {
          await must('umount', [other]);
        }
      }),
    );
  });
}

/** Hands `use` the root of an overlay over a directory of its own, and what mounts it anew. Asks for `mountExt4`. */
export async function withOverlay<T>(
  use: (root: string, lower: string, remount: () => Promise<void>) => Promise<T>,
): Promise<T> {
  return withTemporaryDirectory(async (directory) => {
    const place = (name: string): string => path.join(directory, name);
    for (const name of ['root', 'layers', 'other']) await mkdir(place(name));
    // An upper layer that is an overlay itself would be refused.
    return whileMounted(['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs'], place('layers'), async () => {
      for (const name of ['lower', 'upper', 'work']) await mkdir(place(`layers/${name}`));
      const layers = ['lower', 'upper', 'work'].map(
        (name) => `${name}dir=${place(`layers/${name}`)}`,
      );
      const args = ['-t', 'overlay', '-o', layers.join(','), 'overlay'];
      return whileMounted(args, place('root'), () =>
        use(place('root'), place('layers/lower'), async () => {
          await must('umount', [place('root')]);
          // Takes the device number that was free first.
          await whileMounted(['-t', 'tmpfs', 'tmpfs'], place('other'), () =>
            must('mount', [...args, place('root')]),
          );
        }),
      );
    });
  });
}

/** Runs `use` while `what` is mounted over `place`. Asks for the capability `bindMount`. */
export async function withBindMount<T>(
  what: string,
  place: string,
  use: () => T | Promise<T>,
): Promise<T> {
  return whileMounted(['--bind', what], place, use);
}

/** Bytes that anybody may still take on the file system of `place`. */
export async function freeBytes(place: string): Promise<number> {
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/** Takes all that is free on the file system of `root`, to the last byte. */
export async function fill(root: string): Promise<void> {
  for (let size = 1 << 20; size > 0; size >>= 1) {
    for (let n = 0; ; n++) {
      const complete = await writeFile(
        path.join(root, `fill-${size}-${n}`),
        Buffer.alloc(size),
      ).then(
        () => true,
        () => false,
      );
      if (!complete) break;
    }
  }
}
