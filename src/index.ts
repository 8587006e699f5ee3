export { lock, lockSync, tryLock, tryLockSync, withLock, withLockSync } from './lock.js';
export { replaceFile, replaceFileSync } from './replace.js';
export { readRegularFile, readRegularFileSync } from './read-file.js';
export { updateFile, updateFileSync, updateJson } from './update.js';
export { inspectLock } from './inspect.js';
export { HoldfastError } from './errors.js';
export { channels } from './events.js';
export { openJournal } from './journal.js';
export { safeFileName, sanitizeSessionId } from './sanitize.js';
export type { HoldfastErrorCode } from './errors.js';
export type {
  FailOpenReason,
  HoldfastEventName,
  HoldfastEvents,
  LockPlace,
  LockTrace,
  PlainEventName,
} from './events.js';
export type { Journal, JournalOptions } from './journal.js';
export type { JournalLine } from './journal-line.js';
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
export type { Data, DataStream } from './bytes.js';
export type { FileContents } from './read-file.js';
export type { ReplaceFailure, ReplaceResult } from './replace.js';
export type {
  ExpectedFile,
  FileIdentity,
  ReadOptions,
  ReplaceOptions,
  ReplaceSyncOptions,
} from './replace-options.js';
export type { UpdateFunction } from './update-group.js';
export type { JsonFunction, UpdateOptions, UpdateSyncOptions } from './update.js';
export type { LockHolder } from './record.js';
