import { promisify } from 'node:util';
import lockfile from 'lockfile';

const take = promisify(lockfile.lock);
const give = promisify(lockfile.unlock);
const lockFile = (target) => `${target}.lockfile`;

export async function lock(target) {
  const file = lockFile(target);
  await take(file, { wait: 60_000, pollPeriod: 5 });
  return file;
}
export const unlock = (file) => give(file);

export function lockSync(target) {
  const file = lockFile(target);
  lockfile.lockSync(file);
  return file;
}
export const unlockSync = (file) => lockfile.unlockSync(file);

export async function tryLock(target) {
  try {
    await take(lockFile(target), {});
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}
