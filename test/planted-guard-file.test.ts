import { chmodSync, chownSync, linkSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';

const ttl = 60_000;

/** What somebody puts where the guard of a lock with a ttl is looked for: it is locked, and may be created, so it is checked. */
const planted: {
  name: string;
  code: string;
  plant: (guard: string, victim: string) => void;
  possible: boolean;
}[] = [
  {
    name: 'a symbolic link',
    code: 'ELOOP',
    plant: (guard, victim) => symlinkSync(victim, guard),
    possible: has('symlinks'),
  },
  {
    name: 'a dangling symbolic link',
    code: 'ELOOP',
    plant: (guard, victim) => symlinkSync(`${victim}-absent`, guard),
    possible: has('symlinks'),
  },
  {
    name: 'a hard link',
    code: 'EMLINK',
    plant: (guard, victim) => linkSync(victim, guard),
    possible: true,
  },
  {
    name: "another user's file, in a directory that both may write",
    code: 'EPERM',
    plant: (guard) => {
      chmodSync(path.dirname(guard), 0o1777);
      writeFileSync(guard, '');
      chmodSync(guard, 0o666);
      chownSync(guard, ordinaryUser.uid, ordinaryUser.gid);
    },
    possible: has('ordinaryUser'),
  },
];

// Where a lock file has room for it, as on Windows, the guard is no file of its own.
describe.runIf(has('flockCommand'))('in place of the guard of a lock with a ttl', () => {
  for (const { name, code, plant, possible } of planted) {
    test.runIf(possible)(`${name} is refused, and left alone`, async () => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'data');
          const victim = path.join(directory, 'victim');
          writeFileSync(victim, 'precious');
          const agent = await agents.process();
          // From now on the record names a ttl, so that the next grant is made under the guard.
          await (await agent.lock(target, { ttl })).release();
          const guard = path.join(directory, '.data.lock.guard');
          plant(guard, victim);
          const expectUntouched = await watchUntouched(directory);
          await expect(agent.lock(target, { ttl })).rejects.toMatchObject({ code, refused: true });
          await expect(agent.lock(target)).rejects.toMatchObject({ code, refused: true });
          const open = { ttl, failOpen: true };
          await expect(agent.lock(target, open)).rejects.toMatchObject({ code, refused: true });
          await expectUntouched();
        }),
      );
    });
  }
});
