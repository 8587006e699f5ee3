/** What holdfast tells of itself on `node:diagnostics_channel`. A channel that nobody subscribes to costs a property's look. */
import {
  channel,
  tracingChannel,
  type Channel,
  type TracingChannel,
} from 'node:diagnostics_channel';
import type { LockHolder } from './record.js';

/** Where a lock belongs: in every event about one. */
export interface LockPlace {
  /** Absolute path of what the lock stands for. */
  target: string;
  /** Absolute path of the lock file. */
  lockPath: string;
}

/** One taking of a lock, from the call to its outcome: one object for all of its events. */
export interface LockTrace extends LockPlace {
  shared: boolean;
  /** Milliseconds from the call to the outcome; absent until there is one. */
  waitedMs?: number;
  /** The fencing token that came with the grant; null for a shared lock. Absent when no lock came of it. */
  token?: number | null;
  /** Whether the caller goes on without the lock (`failOpen`); absent when not. */
  failedOpen?: true;
  /** What the call ended with instead of a lock. */
  error?: unknown;
}

/** Why a caller went on without the lock: it was not granted in time, could not be made or read, or cannot be had there. */
export type FailOpenReason = 'timeout' | 'disk' | 'unsupported';

/** What is published on each of holdfast's diagnostics channels. All durations are milliseconds. */
export interface HoldfastEvents {
  /** A lock is asked for, and comes or does not. For the asynchronous forms, too, which `asyncEnd` tells of. */
  lock: LockTrace;
  /** A caller has to wait, or would have to with `timeout: 0`. Told once for each. */
  contended: LockPlace & {
    shared: boolean;
    /** Who holds the lock, as far as the lock file tells. */
    holder: LockHolder | null;
  };
  /** A caller that asked for it (`failOpen`) goes on without the lock. Published before the caller is told. */
  lock_fail_open: LockPlace & {
    reason: FailOpenReason;
    /** ETIMEDOUT, or the code of the system's error. */
    code: string;
    errno?: number;
    syscall?: string;
  };
  /** A lock with a ttl was taken over from a holder that had shown no sign of life for longer. */
  taken_over: LockPlace & { token: number | null; previousHolder: LockHolder | null };
  /** A lock was found to be lost while it was held. */
  lost: LockPlace & { token: number | null; reason: 'taken-over' | 'removed' };
  /** A lock was released by its holder. `heldMs` is null if it was granted before anybody subscribed. */
  released: LockPlace & { token: number | null; heldMs: number | null };
  /** A lock file's record, or the session id in it, was not believed. The lock itself holds all the same. */
  record_rejected: { lockPath: string; reason: 'malformed' | 'session_id' };
  /** A file could not be replaced by a rename: it was copied into, or went by ReplaceFileW(). */
  replace_fallback: {
    path: string;
    method: 'copy' | 'replace-file';
    attempts: number;
    /** Why no rename did: the system's code. Absent where none was tried, as over a mounted file. */
    code?: string;
  };
  /** A lock object was garbage-collected without release; the lock stays held until its environment ends. */
  dropped: LockPlace;
}

export type HoldfastEventName = keyof HoldfastEvents;

/** Each event but `lock`, which has a beginning and an end. */
export type PlainEventName = Exclude<HoldfastEventName, 'lock'>;

/**
 * The channels of `node:diagnostics_channel`: `lock` is the tracing channel `holdfast:lock`, with start, end, asyncStart,
 * asyncEnd and error; every other one is a plain channel named `holdfast:<event>`. Those of one thread tell of that
 * thread alone.
 */
export const channels: {
  readonly lock: TracingChannel<unknown, LockTrace>;
} & { readonly [Name in PlainEventName]: Channel } = {
  lock: tracingChannel<unknown, LockTrace>('holdfast:lock'),
  contended: channel('holdfast:contended'),
  lock_fail_open: channel('holdfast:lock_fail_open'),
  taken_over: channel('holdfast:taken_over'),
  lost: channel('holdfast:lost'),
  released: channel('holdfast:released'),
  record_rejected: channel('holdfast:record_rejected'),
  replace_fallback: channel('holdfast:replace_fallback'),
  dropped: channel('holdfast:dropped'),
};

export function publish<Name extends PlainEventName>(
  name: Name,
  event: HoldfastEvents[Name],
): void {
  if (channels[name].hasSubscribers) channels[name].publish(event);
}
