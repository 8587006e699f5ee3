import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { magicLine, recordOf, recordSize, deadHolder } from './helpers/record.js';
import { expectRefusals } from './helpers/refusal.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';
import { giveTo, users } from './helpers/users.js';

const foreign: [name: string, content: Buffer][] = [
  ['a text', Buffer.from('Dear diary,\n')],
  ['one byte', Buffer.from('x')],
  ['a picture', Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(5000, 7)])],
  ['4 KiB of zeros, as of a disk image', Buffer.alloc(4096)],
  ['one zero more than a record has bytes', Buffer.alloc(recordSize + 1)],
  ['zeros and then something', Buffer.concat([Buffer.alloc(recordSize - 1), Buffer.from('x')])],
  ['the record of another version', Buffer.from(magicLine.replace('1', '2'))],
  ['half a magic line', Buffer.from(magicLine.slice(0, 8))],
  ['a record behind other data', Buffer.concat([Buffer.from('\n'), recordOf(deadHolder)])],
];

describe.each(users)('as $name', ({ identity }) => {
  test.each(foreign)(
    'somebody’s data is refused and stays as it is: %s',
    async (_name, content) => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const agent = await agents.process(identity);
          const target = path.join(directory, 'data');
          const lockPath = path.join(directory, 'document');
          const besideTarget = path.join(directory, '.data.lock');
          await writeFile(lockPath, content, { mode: 0o644 });
          await copyFile(lockPath, besideTarget);
          await giveTo(identity, directory);
          const untouched = await watchUntouched(directory);
          const code = 'ECORRUPT';
          await expectRefusals(agent, target, { lockPath }, { code, path: lockPath });
          await expectRefusals(agent, target, {}, { code, path: besideTarget });
          await untouched();
        }),
      );
    },
  );
});

test.each([
  ['an empty file', 0],
  ['one zero', 1],
  ['a record that a loss of power has zeroed', recordSize],
])('%s is a lock file', async (_name, size) => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const lockPath = path.join(directory, 'lock');
    await writeFile(lockPath, Buffer.alloc(size));
    for (const shared of [true, false]) {
      const held = await lock(target, { lockPath, shared });
      expect(held.previousHolder).toBeNull();
      await held.release();
    }
    expect((await stat(lockPath)).size).toBe(recordSize);
  });
});

test.runIf(has('flockCommand'))(
  'somebody’s data that is locked already is refused, not waited for',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'data');
        for (const [name, content] of foreign) {
          const lockPath = path.join(directory, name);
          await writeFile(lockPath, content);
          const owner = children.spawn('flock', ['-x', lockPath, 'cat']);
          owner.process.stdin?.write('locked');
          await owner.waitForOutput(/locked/);
          const refusal = { code: 'ECORRUPT', refused: true };
          await expect(lock(target, { lockPath }), name).rejects.toMatchObject(refusal);
          await expect(tryLock(target, { lockPath }), name).rejects.toMatchObject(refusal);
          expect(await readFile(lockPath)).toEqual(content);
        }
      }),
    );
  },
);

test('data that is written while others wait is refused when they are granted the lock', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const lockPath = path.join(directory, 'lock');
    const held = await lock(target, { lockPath, shared: true });
    const refused = await mustBlock(lock(target, { lockPath }), 'a second lock');
    await writeFile(lockPath, 'precious');
    await held.release();
    await expect(refused()).rejects.toMatchObject({ code: 'ECORRUPT', refused: true });
    expect(await readFile(lockPath, 'utf8')).toBe('precious');
  });
});
