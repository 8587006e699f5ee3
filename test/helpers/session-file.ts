import { createHash } from 'node:crypto';

/** Fields by key; those that are undefined are left out. */
export type SessionFields = Record<string, string | number | undefined>;

/** A session lock's file with these fields, in this order, behind the line that begins it. */
export function sessionFileOf(fields: SessionFields): string {
  const lines = Object.entries(fields).map(([key, value]) =>
    value === undefined ? '' : `${key}=${value}\n`,
  );
  return `holdfast_session=1\n${lines.join('')}`;
}

/** The fields of a lock that was created and last renewed `age` milliseconds ago. */
export function fieldsOfAge(age: number, fields: SessionFields = {}): SessionFields {
  const then = Date.now() - age;
  return { created_at: then, renewed_at: then, ttl: 30_000, token: 7, ...fields };
}

/** What is stored of the session `id`, which must be one that needs no sanitizing. */
export function sessionFields(id: string): SessionFields {
  return { session_id: id, session_hash: sha256(id) };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Session ids that are up to no good: each would lead, write or run somewhere else if it was used as it is. */
export const adversarialIds = [
  '../../etc/passwd',
  '..',
  '/etc/passwd',
  '..\\..\\windows\\system32',
  'C:\\windows',
  'abc\nsession_id=victim',
  'abc\nttl=1\ntoken=1',
  'a\r\nb',
  '\u001b[2Jcleared',
  '$(touch pwned)',
  '`touch pwned`',
  '; rm -rf . #',
  '%2e%2e%2f',
  'CON',
  'nul.txt',
  '-rf',
  'x'.repeat(5000),
  'a😀b',
  '\u202eevil',
  '   ',
];
