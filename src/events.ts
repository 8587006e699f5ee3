import { channel, type Channel } from 'node:diagnostics_channel';
import type { LockHolder } from './record.js';

/** What is published on each of holdfast's diagnostics channels. */
export interface HoldfastEvents {
  /** A lock file's record, or the session id in it, was not believed. The lock itself holds all the same. */
  record_rejected: { lockPath: string; reason: 'malformed' | 'session_id' };
  /** A lock was taken over from a holder that had shown no sign of life for its ttl. */
  taken_over: {
    target: string;
    lockPath: string;
    /** The new holder's. */
    token: number | null;
    previousHolder: LockHolder | null;
  };
  /** A holder has found out that it lost its lock. */
  lost: {
    target: string;
    lockPath: string;
    token: number | null;
    reason: 'taken-over' | 'removed';
  };
  /** A lock object was garbage-collected without release; the lock stays held until its environment ends. */
  dropped: { target: string };
}

export type HoldfastEventName = keyof HoldfastEvents;

/** The channels of `node:diagnostics_channel`, each named `holdfast:<event>`. */
export const channels: { readonly [Name in HoldfastEventName]: Channel } = {
  taken_over: channel('holdfast:taken_over'),
  lost: channel('holdfast:lost'),
  record_rejected: channel('holdfast:record_rejected'),
  dropped: channel('holdfast:dropped'),
};

export function publish<Name extends HoldfastEventName>(
  name: Name,
  event: HoldfastEvents[Name],
): void {
  if (channels[name].hasSubscribers) channels[name].publish(event);
}
