import { chmodSync, chownSync, lstatSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { Children } from './child.js';
import { anotherUser } from './ordinary-user.js';
import { recordOf } from './record.js';

/** Who plants lock files. */
export const attacker = anotherUser;

/** After so many milliseconds of silence its holder may be replaced. */
const plantedTtl = 100;

/** A valid record of a holder with a ttl, of whose process nothing can be said. */
function plantedRecord(token = 1_700_000_000_000_000): Buffer {
  const holder = { pid: 4711, host: 'some-host', acquired_at: 1_700_000_000_000 };
  return recordOf({ ...holder, token, ttl: plantedTtl });
}

/**
 * Writes a lock file as `owner` would, and has a process of that user hold its kernel lock without ever giving a sign of life.
 */
export async function plantHolder(
  children: Children,
  lockPath: string,
  mode: number,
  owner: { uid: number; gid: number } = attacker,
): Promise<void> {
  writeFileSync(lockPath, plantedRecord());
  chownSync(lockPath, owner.uid, owner.gid);
  chmodSync(lockPath, mode);
  const holder = children.spawn(
    'flock',
    ['-x', lockPath, 'sh', '-c', 'echo held; exec sleep 600'],
    owner,
  );
  await holder.waitForOutput(/held/);
}

interface SeenFile {
  name: string;
  uid: number;
  gid: number;
  mode: number;
}

/** Every file and directory below `directory`, with its owner and all bits of its mode. */
export function filesBelow(directory: string): SeenFile[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => {
    const { uid, gid, mode } = lstatSync(path.join(directory, name));
    return { name, uid, gid, mode: mode & 0o7777 };
  });
}
