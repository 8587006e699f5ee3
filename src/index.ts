export { lock, lockSync, tryLock, tryLockSync, withLock, withLockSync } from './lock.js';
export { inspectLock } from './inspect.js';
export { HoldfastError } from './errors.js';
export { channels } from './events.js';
export { safeFileName, sanitizeSessionId } from './sanitize.js';
export type { HoldfastErrorCode } from './errors.js';
export type { HoldfastEventName, HoldfastEvents } from './events.js';
export type { FileLock } from './file-lock.js';
export type { LockInspection } from './inspect.js';
export type {
  InspectOptions,
  LockOptions,
  LockSyncOptions,
  TryLockOptions,
  WaitInfo,
  WithLockOptions,
} from './options.js';
export type { LockHolder } from './record.js';
