export { lock, lockSync, tryLock, tryLockSync, withLock, withLockSync } from './lock.js';
export { replaceFile, replaceFileSync } from './replace.js';
export { readRegularFile, readRegularFileSync } from './read-file.js';
export { updateFile, updateFileSync, updateJson } from './update.js';
export { inspectLock } from './inspect.js';
export { JobStore } from './job-store.js';
export { HoldfastError } from './errors.js';
export { channels } from './events.js';
export { openJournal } from './journal.js';
export { safeFileName, sanitizeSessionId } from './sanitize.js';
export { SessionLock } from './session-lock.js';
export { incrementSessionCounter, safeSessionPath } from './session-path.js';
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
  TtlOption,
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
export type { SessionLockRecord } from './session-file.js';
export type { SessionLockReason, SessionLockStatus, SessionTransition } from './session-lock.js';
export type {
  SessionLockOptions,
  SessionOptions,
  SessionTransitionOptions,
} from './session-options.js';
export type { SessionCounterOptions } from './session-path.js';
export type { JobFunction, JobWithLogs } from './job-store.js';
export type {
  JobChangeOptions,
  JobListOptions,
  JobPruneOptions,
  JobReadOptions,
  JobStoreOptions,
  JobUpdateOptions,
} from './jobs/options.js';
export type { JobFields, JobPatch, StoredJob } from './jobs/state.js';
