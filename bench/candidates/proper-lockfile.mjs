// With the fastest retries that it can be told.
import properLockfile from 'proper-lockfile';

const options = { realpath: false };
const retries = { retries: 1000, minTimeout: 1, maxTimeout: 10 };

// Its retries are a list that is made, and sorted, with each call: where nobody is in the way it is spared that.
export const lockUncontended = (target) => properLockfile.lock(target, options);
export const lock = (target) => properLockfile.lock(target, { ...options, retries });
export const unlock = (release) => release();
export const lockSync = (target) => properLockfile.lockSync(target, options);
export const unlockSync = (release) => release();

export async function tryLock(target) {
  try {
    await properLockfile.lock(target, options);
    return true;
  } catch (error) {
    if (error.code === 'ELOCKED') return false;
    throw error;
  }
}
