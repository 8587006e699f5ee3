import { lchown, readdir } from 'node:fs/promises';
import path from 'node:path';

import { has } from './capabilities.js';
import { ordinaryUser } from './ordinary-user.js';

interface Identity {
  uid: number;
  gid: number;
}

/** Whom a test is run as: the user of the test run, and one without privileges where that can be had. */
export const users: { name: string; identity: Identity | undefined }[] = [
  { name: process.getuid?.() === 0 ? 'root' : 'the user of this run', identity: undefined },
  ...(has('ordinaryUser') ? [{ name: 'an ordinary user', identity: ordinaryUser }] : []),
];

/** Gives `directory` and all that is in it, links themselves included, to `owner`; undefined leaves it as it is. */
export async function giveTo(owner: Identity | undefined, directory: string): Promise<void> {
  if (owner === undefined) return;
  const names = await readdir(directory, { recursive: true });
  for (const name of ['.', ...names]) {
    await lchown(path.join(directory, name), owner.uid, owner.gid);
  }
}
