/** The file that a `SessionLock` is: lines of `key=value`. docs/session-locks.md describes it for other programs. */
import { storedSessionId } from './sanitize.js';

/** What a session lock's file says. Information, as anybody who may write the file could have written it. */
export interface SessionLockRecord {
  /** The session's id, sanitized and cut to 128 characters; null when there is none, or none that can be believed. */
  session: string | null;
  /** The SHA-256 of the session's id as it was given; null when there is none. */
  sessionHash: string | null;
  createdAt: Date;
  /** The last sign of life: when the lock was created, or renewed. */
  renewedAt: Date;
  /** Milliseconds without a sign of life after which the lock is presumed to be left over. */
  ttl: number;
  /** Grows with every lock that is created at this path: a fencing token. */
  token: number;
  /** The process that created the lock, which may have ended long ago. */
  pid: number | null;
  host: string | null;
}

export type ParsedSessionFile =
  | { state: 'valid'; record: SessionLockRecord; sessionRejected: boolean }
  | {
      state: 'malformed';
      /** Whether it may be somebody's data: neither a damaged session lock nor an empty file. */
      foreign: boolean;
    };

/** Longer files are no session locks. */
export const longestSessionFile = 4096;

const versionLine = 'holdfast_session=1';
const longestHost = 255;
const greatestPid = 2 ** 31 - 1;
/** The last moment that a Date can name. */
const greatestTime = 8.64e15;

export function formatSessionFile(record: SessionLockRecord): string {
  const { session, sessionHash, createdAt, renewedAt, ttl, token, pid, host } = record;
  const fields = {
    session_id: session,
    session_hash: session === null ? null : sessionHash,
    created_at: createdAt.getTime(),
    renewed_at: renewedAt.getTime(),
    ttl,
    token,
    pid,
    host,
  };
  const lines = Object.entries(fields).flatMap(([key, value]) =>
    value === null || value === '' ? [] : `${key}=${value}`,
  );
  return [versionLine, ...lines, ''].join('\n');
}

/** A host's name as the file can hold it. */
export function printableHost(host: string): string | null {
  const printable = host.slice(0, longestHost).replace(/[^\x20-\x7e]/g, '?');
  return printable === '' ? null : printable;
}

/** Reads a file that anybody may have written. Never throws. */
export function parseSessionFile(contents: Uint8Array): ParsedSessionFile {
  // Nothing was lost yet where a file was made and never written, or zeroed by a loss of power.
  if (contents.length <= longestSessionFile && contents.every((byte) => byte === 0)) {
    return { state: 'malformed', foreign: false };
  }
  // As single bytes first: what is no UTF-8 may still be a damaged file of ours.
  const begins = Buffer.from(contents.subarray(0, versionLine.length + 1)).toString('latin1');
  if (begins !== `${versionLine}\n`) return { state: 'malformed', foreign: true };
  const fields = contents.length > longestSessionFile ? null : readFields(contents);
  const record = fields && toRecord(fields);
  if (record === null) return { state: 'malformed', foreign: false };
  return { state: 'valid', record, sessionRejected: isDangerous(fields?.get('session_id') ?? '') };
}

/** The fields, or null: a line without `=`, a key twice, a control character where none may be, no UTF-8. */
function readFields(contents: Uint8Array): Map<string, string> | null {
  const lines = decode(contents)?.split('\n') ?? [];
  // The last line ends, too.
  if (lines.pop() !== '') return null;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, key, value] = /^([a-z_]+)=(.+)$/su.exec(line) ?? [];
    if (key === undefined || value === undefined || fields.has(key)) return null;
    if (key !== 'session_id' && hasControlCharacter(value)) return null;
    fields.set(key, value);
  }
  return fields;
}

function decode(contents: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(contents);
  } catch {
    return null;
  }
}

/** The record; null where a field that must be there is not, or one is not what it must be. Others may be there. */
function toRecord(fields: ReadonlyMap<string, string>): SessionLockRecord | null {
  const number = (key: string, least: number, greatest = Number.MAX_SAFE_INTEGER): number | null =>
    toNumber(fields.get(key), least, greatest);
  const createdAt = number('created_at', 0, greatestTime);
  const renewedAt = number('renewed_at', 0, greatestTime);
  const ttl = number('ttl', 1);
  const token = number('token', 1);
  const pid = number('pid', 1, greatestPid);
  const host = fields.get('host') ?? null;
  const id = fields.get('session_id');
  const hash = fields.get('session_hash') ?? null;
  if (createdAt === null || renewedAt === null || ttl === null || token === null) return null;
  if (pid === null && fields.has('pid')) return null;
  if (host !== null && printableHost(host) !== host) return null;
  if (hash !== null && (id === undefined || !/^[0-9a-f]{64}$/.test(hash))) return null;
  const session = id === undefined || isDangerous(id) ? null : storedSessionId(id);
  return {
    session,
    sessionHash: session === null ? null : hash,
    createdAt: new Date(createdAt),
    renewedAt: new Date(renewedAt),
    ttl,
    token,
    pid,
    host,
  };
}

/** A decimal number as it is written here: no sign, no leading zero. */
function toNumber(text: string | undefined, least: number, greatest: number): number | null {
  if (text === undefined || !/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return null;
  const value = Number(text);
  return value >= least && value <= greatest ? value : null;
}

/** An id that could lead out of a directory, or that writes more than itself where it is printed. */
function isDangerous(id: string): boolean {
  return /[/\\]|\.\./.test(id) || hasControlCharacter(id);
}

function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
