import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { hang } from './helpers/hung-holder.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { anotherUser, ordinaryUser } from './helpers/ordinary-user.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const ttl = 200;
const group = 65_500;

/** In a directory of `ordinaryUser` that `group` shares, that user has a lock with a ttl and hangs. */
async function withHungMember(
  lockFileMode: number,
  use: (agents: LockAgents, target: string, lockPath: string, resume: () => void) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      chownSync(directory, ordinaryUser.uid, group);
      chmodSync(directory, 0o2770);
      const target = path.join(directory, 'data');
      const member = await agents.process({ uid: ordinaryUser.uid, gid: group });
      const held = await member.lock(target, { ttl, lockFileMode });
      const resume = await hang(member, directory);
      await use(agents, target, held.lockPath, resume);
    }),
  );
}

function accessOf(file: string) {
  const { uid, gid, mode } = statSync(file);
  return { uid, gid, mode: (mode & 0o7777).toString(8) };
}

const list = `
import os, sys
name = 'system.posix_acl_access'
if len(sys.argv) > 2:
    os.setxattr(sys.argv[1], name, bytes.fromhex(sys.argv[2]))
print(os.getxattr(sys.argv[1], name).hex())`;

/** The access control list of a file, after it was set if one is given. */
function listOf(file: string, ...set: [string?]): string {
  const args = ['-c', list, file, ...set.filter((each) => each !== undefined)];
  return execFileSync('python3', args, { encoding: 'utf8' });
}

describe.runIf(has('ordinaryUser', 'signals'))('a take-over', () => {
  test('by root keeps owner, group and mode of the lock file, and shares its guard with them', async () => {
    await withHungMember(0o640, async (agents, target, lockPath, resume) => {
      const before = accessOf(lockPath);
      expect(before).toEqual({ uid: ordinaryUser.uid, gid: group, mode: '640' });
      const root = await agents.process();
      const held = await root.lock(target);
      expect(accessOf(lockPath)).toEqual(before);
      expect(accessOf(`${lockPath}.guard`)).toEqual(before);
      await held.release();
      resume();
      const again = await agents.process({ uid: ordinaryUser.uid, gid: group });
      await (await again.lock(target, { ttl })).release();
    });
  });

  test.runIf(has('extendedAttributes'))(
    'by root keeps the access control list of the lock file',
    async () => {
      await withHungMember(0o600, async (agents, target, lockPath) => {
        // user::rw-, user:65533:rw-, group::---, mask::rw-, other::---
        const entries = ['01000600ffffffff', '02000600fdff0000', '04000000ffffffff'];
        listOf(lockPath, ['02000000', ...entries, '10000600ffffffff', '20000000ffffffff'].join(''));
        const before = listOf(lockPath);
        const root = await agents.process();
        const held = await root.lock(target);
        expect(listOf(lockPath)).toBe(before);
        expect(listOf(`${lockPath}.guard`)).toBe(before);
        await held.release();
      });
    },
  );

  test('by a member of the group keeps the group, and the rights that both ask for', async () => {
    await withHungMember(0o664, async (agents, target, lockPath, resume) => {
      const colleague = await agents.process({ uid: anotherUser.uid, gid: group });
      const held = await colleague.lock(target, { lockFileMode: 0o660, owners: 'any' });
      expect(accessOf(lockPath)).toEqual({ uid: anotherUser.uid, gid: group, mode: '660' });
      await held.release();
      resume();
      const again = await agents.process({ uid: ordinaryUser.uid, gid: group });
      await (await again.lock(target, { ttl, lockFileMode: 0o660, owners: 'any' })).release();
    });
  });
});
