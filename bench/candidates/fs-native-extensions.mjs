// A lock of the open file description (fcntl), on a descriptor that the caller opens.
import fs from 'node:fs';
import { promisify } from 'node:util';
import native from 'fs-native-extensions';

const open = promisify(fs.open);
const close = promisify(fs.close);
const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;
const lockFile = (target) => `${target}.fs-native-extensions`;

export async function lock(target) {
  const file = await open(lockFile(target), flags, 0o600);
  await native.waitForLock(file);
  return file;
}
export const unlock = (file) => close(file);

export function lockSync(target) {
  const file = fs.openSync(lockFile(target), flags, 0o600);
  native.waitForLockSync(file);
  return file;
}
export const unlockSync = (file) => fs.closeSync(file);

export const tryLock = async (target) =>
  native.tryLock(fs.openSync(lockFile(target), flags, 0o600));
