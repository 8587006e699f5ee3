import fc from 'fast-check';
import { sanitizeSessionId } from 'holdfast';
import type { SessionLockRecord } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { formatSessionFile, parseSessionFile } from '../src/session-file.js';
import type { SessionFields } from './helpers/session-file.js';
import { adversarialIds, sessionFileOf } from './helpers/session-file.js';

const good: SessionFields = {
  session_id: 's-1',
  session_hash: '0a'.repeat(32),
  created_at: 1_700_000_000_000,
  renewed_at: 1_700_000_001_000,
  ttl: 30_000,
  token: 7,
  pid: 12,
  host: 'web-1',
};

function parse(contents: string | Uint8Array): ReturnType<typeof parseSessionFile> {
  return parseSessionFile(Buffer.from(contents));
}

const record: SessionLockRecord = {
  session: 's-1',
  sessionHash: '0a'.repeat(32),
  createdAt: new Date(1_700_000_000_000),
  renewedAt: new Date(1_700_000_001_000),
  ttl: 30_000,
  token: 7,
  pid: 12,
  host: 'web-1',
};

test('a file is what docs/session-locks.md says, and is read as it was written', () => {
  expect(formatSessionFile(record)).toBe(
    'holdfast_session=1\nsession_id=s-1\nsession_hash=' +
      `${'0a'.repeat(32)}\ncreated_at=1700000000000\nrenewed_at=1700000001000\n` +
      'ttl=30000\ntoken=7\npid=12\nhost=web-1\n',
  );
  expect(parse(sessionFileOf(good))).toEqual({ state: 'valid', record, sessionRejected: false });
});

test('the lines about a session, and about who made the file, may be left out', () => {
  const bare = { ...record, session: null, sessionHash: null, pid: null, host: null };
  const text = formatSessionFile(bare);
  expect(text).not.toMatch(/session_id|session_hash|pid|host/);
  expect(parse(text)).toEqual({ state: 'valid', record: bare, sessionRejected: false });
});

test('fields of a later version are no damage', () => {
  expect(parse(sessionFileOf({ ...good, flavour: 'sweet=sour, süß' }))).toMatchObject({
    state: 'valid',
    record,
  });
});

describe('a stored session id', () => {
  test.each([
    ...['../../etc/passwd', '/', 'a/b', 'a\\b', '\\', '..', 'a..b'],
    ...['a\u0007b', 'a\rb', '\u001b[2J', 'a\0b', 'a\tb', 'a\u007f', 'a\u0085b'],
  ])('that is %j is rejected, and the rest is believed', (session_id) => {
    expect(parse(sessionFileOf({ ...good, session_id }))).toEqual({
      state: 'valid',
      sessionRejected: true,
      record: { ...record, session: null, sessionHash: null },
    });
  });

  test.each([
    ['a.b', 'a_b'],
    ['a b', 'a_b'],
    ['a😀b', 'a_b'],
    ['x'.repeat(200), 'x'.repeat(128)],
  ])('that is %j is sanitized before it is compared', (session_id, session) => {
    expect(parse(sessionFileOf({ ...good, session_id }))).toMatchObject({
      sessionRejected: false,
      record: { session },
    });
  });

  test('that says unknown is none', () => {
    expect(parse(sessionFileOf({ ...good, session_id: 'unknown' }))).toEqual({
      state: 'valid',
      sessionRejected: false,
      record: { ...record, session: null, sessionHash: null },
    });
  });
});

test.each<[string, SessionFields]>([
  ['no ttl', { ttl: undefined }],
  ['a ttl of 0', { ttl: 0 }],
  ['a negative ttl', { ttl: -1 }],
  ['a ttl with a fraction', { ttl: '1.5' }],
  ['a ttl with a leading zero', { ttl: '030' }],
  ['a ttl in hexadecimal', { ttl: '0x10' }],
  ['a ttl with a sign', { ttl: '+5' }],
  ['a ttl behind a space', { ttl: ' 5' }],
  ['a ttl that is too large to be exact', { ttl: '9007199254740993' }],
  ['no token', { token: undefined }],
  ['a token of 0', { token: 0 }],
  ['no time of creation', { created_at: undefined }],
  ['no sign of life', { renewed_at: undefined }],
  ['a time that no date can name', { renewed_at: '8640000000000001' }],
  ['a pid that no system has', { pid: 2 ** 31 }],
  ['a pid that is none', { pid: 'x' }],
  ['a control character in the host', { host: 'a\u001b[2J' }],
  ['a carriage return in the host', { host: 'a\rb' }],
  ['a host that is not ASCII', { host: 'höst' }],
  ['a host that is too long', { host: 'a'.repeat(256) }],
  ['a control character in an unknown field', { flavour: 'a\u0007' }],
  ['an empty value', { host: '' }],
  ['an empty session id', { session_id: '' }],
  ['a hash that is none', { session_hash: 'A'.repeat(64) }],
  ['a hash of nothing', { session_id: undefined }],
])('a file with %s is malformed', (_what, fields) => {
  expect(parse(sessionFileOf({ ...good, ...fields }))).toEqual({
    state: 'malformed',
    foreign: false,
  });
});

const text = sessionFileOf(good);
test.each<[string, string | Uint8Array]>([
  ['nothing', ''],
  ['zeros', Buffer.alloc(400)],
  ['the first line alone', 'holdfast_session=1\n'],
  ['a key twice', `${text}ttl=30000\n`],
  ['a session id twice', `${text}session_id=victim\n`],
  ['a line without "="', `${text}nonsense\n`],
  ['an empty line', `${text}\n`],
  ['an empty key', `${text}=x\n`],
  ['a key in capitals', `${text}TTL=1\n`],
  ['a last line that does not end', text.slice(0, -1)],
  ['no UTF-8', Buffer.concat([Buffer.from(text), Buffer.from([0x61, 0x3d, 0xff, 0x0a])])],
  ['more than a file may be', `${text}${`a=${'x'.repeat(98)}\n`.repeat(50)}`],
])('a file of %s is malformed', (_what, contents) => {
  expect(parse(contents)).toEqual({ state: 'malformed', foreign: false });
});

test('a file that is cut off anywhere is malformed, and so is one with a line left out', () => {
  for (let length = text.indexOf('\n') + 1; length < text.length; length++) {
    const { state } = parse(text.slice(0, length));
    // What is left out at the end may be left out.
    const whole =
      text.slice(0, length).endsWith('token=7\n') || /pid=12\n$/.test(text.slice(0, length));
    expect(state, text.slice(0, length)).toBe(whole ? 'valid' : 'malformed');
  }
});

test.each<[string, string | Uint8Array]>([
  ['somebody’s notes', 'do not lose this\n'],
  ['a lock of a later version', text.replace('session=1', 'session=2')],
  ['a lock file of holdfast', 'holdfast lock 1\ntoken=1\n'],
  ['a line that begins the same', 'holdfast_session=10\n'],
  ['the first line without its end', 'holdfast_session=1'],
  ['a byte order mark', `\ufeff${text}`],
  ['carriage returns', text.replaceAll('\n', '\r\n')],
  ['more zeros than a file may have', Buffer.alloc(5000)],
])('%s may be somebody’s data', (_what, contents) => {
  expect(parse(contents)).toEqual({ state: 'malformed', foreign: true });
});

/** Bytes that come near to a file, as well as any. */
const anyContents = fc.oneof(
  fc.uint8Array({ maxLength: 5000 }),
  fc.uint8Array({ maxLength: 300 }).map((tail) => Buffer.concat([Buffer.from(text), tail])),
  fc
    .tuple(fc.nat(text.length - 1), fc.nat(255))
    .map(([index, byte]) => Buffer.from(text).fill(byte, index, index + 1)),
  fc
    .array(
      fc.tuple(
        fc.constantFrom(...Object.keys(good), 'other'),
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...adversarialIds, '7', '0')),
      ),
      { maxLength: 12 },
    )
    .map((lines) =>
      Buffer.from(
        `holdfast_session=1\n${lines.map(([key, value]) => `${key}=${value}\n`).join('')}`,
      ),
    ),
  fc
    .string({ unit: 'binary', minLength: 1 })
    .map((session_id) => Buffer.from(sessionFileOf({ ...good, session_id }))),
);

test('arbitrary bytes never throw, and never give more than a record may hold', () => {
  fc.assert(
    fc.property(anyContents, (contents) => {
      const parsed = parseSessionFile(contents);
      if (parsed.state !== 'valid') return;
      const { session, sessionHash, host, pid, ...rest } = parsed.record;
      if (session !== null) {
        expect(session).toMatch(/^[A-Za-z0-9_-]{1,128}$/);
        expect(session).not.toBe('unknown');
      }
      if (sessionHash !== null) expect(sessionHash).toMatch(/^[0-9a-f]{64}$/);
      if (session === null) expect(sessionHash).toBeNull();
      if (host !== null) expect(host).toMatch(/^[\x20-\x7e]{1,255}$/);
      for (const number of [pid ?? 1, rest.ttl, rest.token]) {
        expect(Number.isSafeInteger(number) && number > 0).toBe(true);
      }
      for (const date of [rest.createdAt, rest.renewedAt]) {
        expect(Number.isNaN(date.getTime())).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});

test('whatever a session is called, its file is read back as one record, with one session', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom(...adversarialIds)),
      (id) => {
        const session = sanitizeSessionId(id).slice(0, 128);
        fc.pre(session !== 'unknown');
        const written = { ...record, session };
        expect(parse(formatSessionFile(written))).toEqual({
          state: 'valid',
          record: written,
          sessionRejected: false,
        });
      },
    ),
  );
});
