// A POSIX lock (fcntl) on a descriptor that the caller opens; it excludes other processes only.
import fs from 'node:fs';
import { promisify } from 'node:util';
import osLock from 'os-lock';

const open = promisify(fs.open);
const close = promisify(fs.close);
const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;
const lockFile = (target) => `${target}.os-lock`;

export async function lock(target) {
  const file = await open(lockFile(target), flags, 0o600);
  await osLock.lock(file, { exclusive: true });
  return file;
}
export const unlock = (file) => close(file);

export async function tryLock(target) {
  const file = await open(lockFile(target), flags, 0o600);
  try {
    await osLock.lock(file, { exclusive: true, immediate: true });
    return true;
  } catch (error) {
    if (error.code === 'EACCES' || error.code === 'EAGAIN') return false;
    throw error;
  }
}
