// flock() on a descriptor that the caller opens.
import fs from 'node:fs';
import { promisify } from 'node:util';
import fsExt from 'fs-ext';

const open = promisify(fs.open);
const close = promisify(fs.close);
const flock = promisify(fsExt.flock);
const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;
const lockFile = (target) => `${target}.fs-ext`;

export async function lock(target) {
  const file = await open(lockFile(target), flags, 0o600);
  await flock(file, 'ex');
  return file;
}
export const unlock = (file) => close(file);

export function lockSync(target) {
  const file = fs.openSync(lockFile(target), flags, 0o600);
  fsExt.flockSync(file, 'ex');
  return file;
}
export const unlockSync = (file) => fs.closeSync(file);

export async function tryLock(target) {
  const file = fs.openSync(lockFile(target), flags, 0o600);
  try {
    fsExt.flockSync(file, 'exnb');
    return true;
  } catch (error) {
    if (error.code === 'EAGAIN') return false;
    throw error;
  }
}
