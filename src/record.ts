import { publish } from './events.js';
import { native, RecordState, type NativeRecord } from './native.js';

/** Who holds, or held, a lock, as its lock file tells. Information only: the kernel decides who holds it. */
export interface LockHolder {
  /** Process id on `host`. Inside a container it means something only there. */
  pid: number;
  host: string;
  /** The sanitized session id that the holder gave, or null. */
  session: string | null;
  /** When the lock was granted, by the holder's clock. */
  since: Date;
  /** The fencing token that came with the grant. */
  token: number;
  /** Whether the holder is this very process. */
  self: boolean;
}

/** The holder that `record` names, or null. Publishes `record_rejected` where the record cannot be believed. */
export function holderOf(record: NativeRecord | null, lockPath: string): LockHolder | null {
  if (record === null) return null;
  reportRejected(record, lockPath);
  if (record.pid === 0) return null;
  return {
    pid: record.pid,
    host: record.host,
    session: record.sessionId === '' ? null : record.sessionId,
    since: new Date(record.acquiredAt),
    token: record.token,
    self: record.pid === process.pid && isOurs(record.startToken),
  };
}

/** Without a token of its start a process is not told from one of the same number, elsewhere or before. */
function isOurs(startToken: string): boolean {
  return startToken !== '' && startToken === native.startToken();
}

function reportRejected(record: NativeRecord, lockPath: string): void {
  if (record.state === RecordState.malformed) {
    publish('record_rejected', { lockPath, reason: 'malformed' });
  } else if (record.sessionRejected) {
    publish('record_rejected', { lockPath, reason: 'session_id' });
  }
}

/** A holder in words: "pid 12 on web-1 since 2026-01-02T03:04:05.678Z". */
export function describeHolder(holder: LockHolder | null): string {
  if (holder === null) return 'a holder that left no name';
  const who = holder.self ? 'this process' : `pid ${holder.pid} on ${holder.host}`;
  const session = holder.session === null ? '' : `, session ${holder.session}`;
  return `${who} since ${holder.since.toISOString()}${session}`;
}
