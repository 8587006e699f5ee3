import { sha256Hex } from './sha256.js';

const longestName = 64;
const hashDigits = 40;
const longestPrefix = longestName - hashDigits - 1;

/** What stands for the id of no session; it equals nothing, itself included. */
const noSession = 'unknown';

/** Of a longer id a file keeps the beginning, and its hash. */
const longestStoredId = 128;

const plainName = new RegExp(`^[a-z0-9_-]{1,${longestName}}$`);
const ownSuffix = new RegExp(`-[0-9a-f]{${hashDigits}}$`);
const windowsDevice = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])$/;

/**
 * Makes a session id harmless to print and to write into a `key=value` line.
 *
 * Keeps `[A-Za-z0-9_-]`; every other code point, and every lone surrogate, becomes one `_`. What is
 * not a string, and the empty string, becomes `unknown`. Never throws, and doing it twice changes
 * nothing more.
 *
 * Equal results do not mean equal ids: `a/b` and `a_b` both give `a_b`. The result is also not yet
 * a safe file name (`CON` stays `CON`, and nothing bounds its length): {@link safeFileName} is.
 */
export function sanitizeSessionId(id: unknown): string {
  if (typeof id !== 'string' || id === '') return noSession;
  return id.replace(/[^A-Za-z0-9_-]/gu, '_');
}

/** What a file keeps of a session id. */
export interface SessionIdentity {
  /** Sanitized, at most 128 characters: for people, and not enough to tell one session from another. */
  id: string;
  /** The SHA-256 of the id as it was given, in hexadecimal: of its UTF-8, and of its WTF-8 if it has lone surrogates. */
  hash: string;
}

/** What is kept of a session id; null for none, which is also what the id `unknown` says. */
export function sessionIdentity(id: string): SessionIdentity | null {
  const stored = storedSessionId(id);
  if (stored === null) return null;
  return { id: stored, hash: sha256Hex(toWtf8(id)) };
}

const loneSurrogate = /(\p{Cs})/u;

/**
 * Encodes a string as UTF-8, which a script can compute, and each lone surrogate as the three bytes that UTF-8 would have
 * for its number (WTF-8). Two strings never have the same bytes: UTF-8 uses none of these sequences, and a replacement
 * character would stand for every lone surrogate alike.
 *
 * @see [The WTF-8 encoding](https://simonsapin.github.io/wtf-8/)
 */
function toWtf8(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  // The separator is captured: every second part is a lone surrogate.
  const parts = text
    .split(loneSurrogate)
    .map((part, index) => (index % 2 === 0 ? Buffer.from(part) : threeBytes(part.charCodeAt(0))));
  return Buffer.concat(parts);
}

function threeBytes(unit: number): Buffer {
  return Buffer.from([0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]);
}

/** The form of a session id in which it is stored and compared; null for none. */
export function storedSessionId(id: string): string | null {
  const sanitized = sanitizeSessionId(id);
  return sanitized === noSession ? null : sanitized.slice(0, longestStoredId);
}

/**
 * Turns an untrusted id into one path component that is safe on every system and different for
 * every id.
 *
 * The name is the id itself when that is 1 to 64 characters of `[a-z0-9_-]`, not a Windows device
 * name (`con`, `nul`, `com1`, …) and does not end like the names made here. Any other id becomes
 * the first characters of its sanitized, lower-case form, `-`, and 40 hexadecimal digits of its
 * SHA-256. So a name is never longer than 64 characters, holds no separator and no dot, and two
 * ids that differ only in case get names that differ in more.
 *
 * What is not a string counts as no id and gets the name of the empty string, which is not the
 * name of the id `unknown`. Never throws. The way back, from name to id, is not promised.
 */
export function safeFileName(id: unknown): string {
  const text = typeof id === 'string' ? id : '';
  if (plainName.test(text) && !windowsDevice.test(text) && !ownSuffix.test(text)) return text;

  const prefix = sanitizeSessionId(text).toLowerCase().slice(0, longestPrefix);
  // Two bytes for each unit: different strings never have the same bytes.
  const hash = sha256Hex(Buffer.from(text, 'utf16le'));
  return `${prefix}-${hash.slice(0, hashDigits)}`;
}
