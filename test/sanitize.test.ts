import path from 'node:path';

import fc from 'fast-check';
import { safeFileName, sanitizeSessionId } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { sessionIdentity } from '../src/sanitize.js';
import { sha256 } from './helpers/session-file.js';

/** Any sequence of UTF-16 code units, lone surrogates included, with what is dangerous in it more often than by chance. */
const anyString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc
    .array(
      fc.constantFrom(
        '.',
        '..',
        '/',
        '\\',
        '\0',
        '\n',
        ':',
        'a',
        'A',
        '_',
        '-',
        'con',
        '\ud83d',
        '\ude00',
      ),
    )
    .map((parts) => parts.join('')),
  // What may stay as it is.
  fc.stringMatching(/^[a-z0-9_-]{1,70}$/),
);

const windowsDevices = [
  'con',
  'prn',
  'aux',
  'nul',
  ...Array.from({ length: 10 }, (_, digit) => [`com${digit}`, `lpt${digit}`]).flat(),
];

describe('sanitizeSessionId', () => {
  const examples: [id: unknown, expected: string][] = [
    ['my-session_01', 'my-session_01'],
    ['../../etc/passwd', '______etc_passwd'],
    ['abc\nid=evil', 'abc_id_evil'],
    ['   ', '___'],
    ['', 'unknown'],
    [null, 'unknown'],
    [undefined, 'unknown'],
    ['a😀b', 'a_b'],
    ['CON', 'CON'],
    ['a\ud83db', 'a_b'],
    ['\ude00\ud83d', '__'],
    ['été', '_t_'],
    ['e\u0301', 'e_'],
    ['a/b', 'a_b'],
    ['a\\b', 'a_b'],
    ['a\0b', 'a_b'],
    ['\u212aelvin', '_elvin'],
    ['unknown', 'unknown'],
    [0, 'unknown'],
    [false, 'unknown'],
    [NaN, 'unknown'],
    [42, 'unknown'],
    [true, 'unknown'],
    [10n, 'unknown'],
    [Symbol('id'), 'unknown'],
    [{ toString: () => '../x' }, 'unknown'],
    [['a'], 'unknown'],
    [new String('a'), 'unknown'],
    [() => 'a', 'unknown'],
  ];
  test.each(examples.map(([id, expected]) => ({ id, expected })))(
    '$id becomes $expected',
    ({ id, expected }) => {
      expect(sanitizeSessionId(id)).toBe(expected);
    },
  );

  test('never throws and gives a non-empty string of safe characters, whatever it is given', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), anyString), (id) => {
        expect(sanitizeSessionId(id)).toMatch(/^[A-Za-z0-9_-]+$/);
      }),
    );
  });

  test('does not throw for objects that throw when they are looked at', () => {
    const hostile = new Proxy(() => undefined, {
      get: () => {
        throw new Error('looked at');
      },
    });
    expect(sanitizeSessionId(hostile)).toBe('unknown');
    expect(sanitizeSessionId(Object.create(null))).toBe('unknown');
  });

  test('is idempotent', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), anyString), (id) => {
        const once = sanitizeSessionId(id);
        expect(sanitizeSessionId(once)).toBe(once);
      }),
    );
  });

  test('replaces each code point by one underscore and keeps the rest in place', () => {
    fc.assert(
      fc.property(anyString, (id) => {
        fc.pre(id !== '');
        const expected = Array.from(id, (character) =>
          /^[A-Za-z0-9_-]$/.test(character) ? character : '_',
        );
        expect(sanitizeSessionId(id)).toBe(expected.join(''));
      }),
    );
  });

  test('gives the same result for different ids, so it is not identity', () => {
    expect(sanitizeSessionId('a/b')).toBe(sanitizeSessionId('a_b'));
  });
});

describe('what a file keeps of a session id', () => {
  test('is its sanitized form, at most 128 characters of it, and the hash of the id itself', () => {
    expect(sessionIdentity('a/b')).toEqual({ id: 'a_b', hash: sha256('a/b') });
    expect(sessionIdentity('é')).toEqual({ id: '_', hash: sha256('é') });
    const long = 'x'.repeat(5000);
    expect(sessionIdentity(long)).toEqual({ id: 'x'.repeat(128), hash: sha256(long) });
  });

  test.each(['', 'unknown'])('is nothing for %j, which is no session', (id) => {
    expect(sessionIdentity(id)).toBeNull();
  });

  test('is never an id that leads anywhere, and another one for every id', () => {
    fc.assert(
      fc.property(anyString, anyString, (a, b) => {
        fc.pre(a !== b);
        const [one, other] = [sessionIdentity(a), sessionIdentity(b)];
        if (one !== null) expect(one.id).toMatch(/^[A-Za-z0-9_-]{1,128}$/);
        if (one !== null && other !== null) expect(one.hash).not.toBe(other.hash);
      }),
    );
  });
});

describe('safeFileName', () => {
  test.each([
    'my-session_01',
    'a',
    '0',
    '_',
    '-',
    'unknown',
    'console',
    'com10',
    'com',
    '550e8400-e29b-41d4-a716-446655440000',
    'x'.repeat(64),
    '0'.repeat(40),
    `x-${'0'.repeat(39)}`,
    `x-${'0'.repeat(41)}`,
  ])('%s is its own name', (id) => {
    expect(safeFileName(id)).toBe(id);
  });

  test.each([
    ['../../etc/passwd', '______etc_passwd-'],
    ['abc\nid=evil', 'abc_id_evil-'],
    ['   ', '___-'],
    ['a😀b', 'a_b-'],
    ['CON', 'con-'],
    ['A', 'a-'],
    ['', 'unknown-'],
    ['.', '_-'],
    ['..', '__-'],
    ['a.', 'a_-'],
    ['a ', 'a_-'],
    ['file:stream', 'file_stream-'],
    ['conin$', 'conin_-'],
    ['COM¹', 'com_-'],
    ['x'.repeat(65), `${'x'.repeat(23)}-`],
    [`x-${'0'.repeat(40)}`, `x-${'0'.repeat(21)}-`],
    [`-${'0'.repeat(40)}`, `-${'0'.repeat(22)}-`],
  ])('%j becomes a name that begins with %j and ends with a hash', (id, prefix) => {
    const name = safeFileName(id);
    expect(name.slice(0, prefix.length)).toBe(prefix);
    expect(name.slice(prefix.length)).toMatch(/^[0-9a-f]{40}$/);
  });

  test('keeps its names from one release to the next', () => {
    expect(safeFileName('../../etc/passwd')).toBe(
      '______etc_passwd-833ba4aa8a8030313c7ec35127bf9b1bb269ef7d',
    );
    expect(safeFileName('')).toBe('unknown-e3b0c44298fc1c149afbf4c8996fb92427ae41e4');
  });

  test('what is not a string gets the name of the empty string, not that of the id unknown', () => {
    for (const id of [null, undefined, 0, 42, true, Symbol('id'), {}, ['a'], new String('a')]) {
      expect(safeFileName(id)).toBe(safeFileName(''));
      expect(safeFileName(id)).not.toBe(safeFileName('unknown'));
    }
  });

  test.each(windowsDevices)('the Windows device %s is nobody’s name, in no case', (device) => {
    for (const id of [device, device.toUpperCase(), `${device}.txt`, `${device} `, `${device}:`]) {
      const [base] = safeFileName(id).split('.');
      expect(base?.toLowerCase()).not.toBe(device);
    }
  });

  test('never throws and gives 1 to 64 safe, lower-case characters that are no device name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), anyString), (id) => {
        const name = safeFileName(id);
        expect(name).toMatch(/^[a-z0-9_-]{1,64}$/);
        expect(windowsDevices).not.toContain(name);
      }),
    );
  });

  test('is a file directly inside any directory that it is joined to', () => {
    fc.assert(
      fc.property(anyString, (id) => {
        const name = safeFileName(id);
        for (const system of [path.posix, path.win32]) {
          const root = system.resolve('/srv/locks');
          expect(system.dirname(system.join(root, name))).toBe(root);
          expect(system.basename(system.join(root, name))).toBe(name);
        }
      }),
    );
  });

  test('gives different ids different names', () => {
    fc.assert(
      fc.property(anyString, anyString, (a, b) => {
        fc.pre(a !== b);
        expect(safeFileName(a)).not.toBe(safeFileName(b));
      }),
    );
  });

  test('gives different names to ids that look alike', () => {
    const alike = [
      ...['a/b', 'a_b', 'a\\b', 'a b', 'a.b'],
      ...['', 'unknown', 'Unknown', 'UNKNOWN'],
      ...['\ud800', '\ud801', '\udc00', '\ufffd', '_', '?'],
      ...['\u00e9', 'e\u0301', 'K', '\u212a', 'k'],
      ...['con', 'CON', 'Con', 'con.', 'con '],
      ...['x'.repeat(64), 'x'.repeat(65), 'x'.repeat(66)],
    ];
    expect(new Set(alike.map(safeFileName)).size).toBe(alike.length);
  });

  test('gives ids that differ only in case names that differ on a file system without case', () => {
    fc.assert(
      fc.property(anyString, (id) => {
        const variants = [...new Set([id, id.toLowerCase(), id.toUpperCase()])];
        const names = variants.map((variant) => safeFileName(variant).toLowerCase());
        expect(new Set(names).size).toBe(variants.length);
      }),
    );
  });

  test('never gives a made name to somebody whose id it is', () => {
    fc.assert(
      fc.property(anyString, (id) => {
        const name = safeFileName(id);
        if (name !== id) expect(safeFileName(name)).not.toBe(name);
      }),
    );
  });
});
