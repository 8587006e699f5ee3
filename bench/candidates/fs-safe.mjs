// With the fastest retries that it can be told.
import { replaceFileAtomic, replaceFileAtomicSync } from '@openclaw/fs-safe/atomic';
import { acquireFileLock, acquireFileLockSync } from '@openclaw/fs-safe/file-lock';

const payload = () => ({ pid: process.pid });
const options = { payload, staleMs: 60_000 };
const retry = { retries: 1000, minTimeout: 1, maxTimeout: 10 };

export const lockUncontended = (target) => acquireFileLock(target, options);
export const lock = (target) => acquireFileLock(target, { ...options, timeoutMs: 60_000, retry });
export const unlock = (held) => held.release();
export const lockSync = (target) => acquireFileLockSync(target, options);
export const unlockSync = (held) => held.release();

export async function tryLock(target) {
  try {
    await acquireFileLock(target, { ...options, timeoutMs: 1, retry: { retries: 0 } });
    return true;
  } catch (error) {
    if (/timed? ?out|timeout/i.test(`${error.code} ${error.message}`)) return false;
    throw error;
  }
}

const request = (filePath, content, durability) => ({
  filePath,
  content,
  syncTempFile: durability !== 'none',
  syncParentDir: durability === 'full',
});

export const replacer = (durability) => (file, data) =>
  replaceFileAtomic(request(file, data, durability));
export const replacerSync = (durability) => (file, data) =>
  replaceFileAtomicSync(request(file, data, durability));
