import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  link,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { lock } from 'holdfast';
import type { HoldfastErrorCode } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { deadHolder, recordOf } from './helpers/record.js';
import { expectRefusals } from './helpers/refusal.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';
import { giveTo, users } from './helpers/users.js';

/** Puts something at `file`, where a lock file is looked for; whatever else it needs goes to `directory`. */
type Plant = (file: string, directory: string) => Promise<void>;

const planted: [name: string, code: HoldfastErrorCode, plant: Plant, possible?: boolean][] = [
  [
    'a symbolic link to a file',
    'ELOOP',
    async (file, directory) => {
      await writeFile(path.join(directory, 'victim'), 'precious');
      await symlink(path.join(directory, 'victim'), file);
    },
    has('symlinks'),
  ],
  [
    'a symbolic link to a good lock file',
    'ELOOP',
    async (file, directory) => {
      await writeFile(path.join(directory, 'victim'), recordOf(deadHolder));
      await symlink(path.join(directory, 'victim'), file);
    },
    has('symlinks'),
  ],
  [
    'a dangling symbolic link',
    'ELOOP',
    async (file, directory) => symlink(path.join(directory, 'absent'), file),
    has('symlinks'),
  ],
  [
    'a symbolic link to itself',
    'ELOOP',
    async (file) => symlink(path.basename(file), file),
    has('symlinks'),
  ],
  [
    'a symbolic link to a directory',
    'ELOOP',
    async (file, directory) => symlink(directory, file),
    has('symlinks'),
  ],
  [
    'a hard link to a file with data',
    'EMLINK',
    async (file, directory) => {
      await writeFile(path.join(directory, 'victim'), 'precious');
      await link(path.join(directory, 'victim'), file);
    },
  ],
  [
    'a hard link to an empty file',
    'EMLINK',
    async (file, directory) => {
      await writeFile(path.join(directory, 'victim'), '');
      await link(path.join(directory, 'victim'), file);
    },
  ],
  [
    'a hard link to a good lock file',
    'EMLINK',
    async (file, directory) => {
      await writeFile(path.join(directory, 'victim'), recordOf(deadHolder));
      await link(path.join(directory, 'victim'), file);
    },
  ],
  ['a directory', 'EINVAL', async (file) => mkdir(file)],
  ['a FIFO', 'EINVAL', async (file) => make('mkfifo', [file]), has('fifos')],
  ['a socket', 'EINVAL', makeSocket, has('socketFiles')],
  [
    'a device that reads as zeros',
    'EINVAL',
    async (file) => {
      await make('mknod', [file, 'c', '1', '5']);
      await chmod(file, 0o666);
    },
    has('mknod'),
  ],
];

describe.each(users)('as $name', ({ identity }) => {
  for (const [name, code, plant, possible = true] of planted) {
    test.runIf(possible)(`${name} in place of the lock file is refused, untouched`, async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const agent = await agents.process(identity);
          const beside = path.join(directory, 'beside');
          const elsewhere = path.join(directory, 'elsewhere');
          const target = path.join(beside, 'data');
          const lockPath = path.join(elsewhere, 'lock');
          await mkdir(beside);
          await mkdir(elsewhere);
          await plant(path.join(beside, '.data.lock'), beside);
          await plant(lockPath, elsewhere);
          await giveTo(identity, directory);
          const untouched = await watchUntouched(directory);

          const besideTarget = path.join(beside, '.data.lock');
          await expectRefusals(agent, target, {}, { code, path: besideTarget });
          await expectRefusals(agent, target, { lockPath }, { code, path: lockPath });
          // What is allowed of the target and of foreign owners makes no difference.
          const generous = { links: 'follow', owners: 'any' } as const;
          await expectRefusals(agent, target, generous, { code, path: besideTarget });
          await untouched();
        }),
      );
    });
  }
});

test.runIf(has('symlinks'))(
  'a link that takes the place of the lock file while others wait is refused then',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const victim = path.join(directory, 'victim');
      const held = await lock(target);
      const refused = await mustBlock(lock(target), 'a second lock');
      await writeFile(victim, recordOf(deadHolder));
      await symlink(victim, path.join(directory, 'new'));
      await rename(path.join(directory, 'new'), held.lockPath);

      await expect(refused()).rejects.toMatchObject({ code: 'ELOOP', refused: true });
      expect(held.lost).toBe(true);
      await held.release();
      expect(await readFile(victim)).toEqual(recordOf(deadHolder));
    });
  },
);

test('a lock file that is given a second name while others wait is refused when they are granted it', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const refused = await mustBlock(lock(target), 'a second lock');
    await link(held.lockPath, path.join(directory, 'second-name'));
    await held.release();
    await expect(refused()).rejects.toMatchObject({ code: 'EMLINK', refused: true });
    await unlink(path.join(directory, 'second-name'));
    await (await lock(target)).release();
  });
});

async function make(command: string, args: string[]): Promise<void> {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command}: ${result.stderr}`);
  return Promise.resolve();
}

async function makeSocket(file: string): Promise<void> {
  const server = createServer().listen(`${file}-listening`);
  await once(server, 'listening');
  // The server removes its own name when it closes.
  await rename(`${file}-listening`, file);
  await new Promise((resolve) => server.close(resolve));
  await rm(`${file}-listening`, { force: true });
}
