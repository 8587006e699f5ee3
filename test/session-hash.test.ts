import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { SessionLock, inspectLock, lock, safeFileName } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** The UTF-8 of one is the UTF-16LE of the other. */
const crossed = [' \u0600\u0800', '\uD820\uE080\u80A0'] as const;

/** Ids that some encoding takes for one another. */
const lookAlikes = [
  ...crossed,
  ...['\uD800', '\uDC00', '\uFFFD', '\uDC00\uD800', '\uD800\uDC00', '\u{10000}\uD800'],
  ...['a\uD800', 'a\uDBFF', 'a\uDC00', 'a\uFFFD', 'a\uFFFD\uFFFD\uFFFD', 'a\u00ED\u00A0\u0080'],
];

async function storedHash(directory: string, session: string): Promise<string | null> {
  const file = path.join(directory, 'session');
  const sessionLock = new SessionLock(file);
  const { record } = await sessionLock.create({ session });
  await sessionLock.release({ session });
  return record?.sessionHash ?? null;
}

describe('SessionLock', () => {
  test('tells sessions apart when one id is the bytes of the other in another encoding', () =>
    withTemporaryDirectory(async (directory) => {
      const [creator, other] = crossed;
      const sessionLock = new SessionLock(path.join(directory, 'session'));
      await sessionLock.create({ session: creator });
      expect(await sessionLock.status({ session: other })).toMatchObject({ reason: 'foreign' });
    }));

  test('stores a different hash for every id when ids hold lone surrogates', () =>
    withTemporaryDirectory(async (directory) => {
      const hashes = new Map<string | null, string>();
      for (const id of new Set(lookAlikes)) {
        const hash = await storedHash(directory, id);
        expect([hashes.get(hash), id]).toEqual([undefined, id]);
        hashes.set(hash, id);
      }
    }));

  test('keeps the SHA-256 of the UTF-8 when an id is well-formed', () =>
    withTemporaryDirectory(async (directory) => {
      const { createHash } = process.getBuiltinModule('node:crypto');
      for (const id of ['s-1', 'ä', '€\u{1F512}', ' \u0600\u0800']) {
        const utf8 = createHash('sha256').update(id, 'utf8').digest('hex');
        expect(await storedHash(directory, id)).toBe(utf8);
      }
    }));
});

test('lock stores a different session hash when ids differ in a lone surrogate only', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    await writeFile(target, '');
    const hashes = new Set<string>();
    for (const session of crossed) {
      await using held = await lock(target, { session });
      expect(held.held).toBe(true);
      const { readFile } = await import('node:fs/promises');
      const text = await readFile(path.join(directory, '.data.lock'), 'latin1');
      hashes.add(/^session_hash=(.*)$/m.exec(text)?.[1] ?? '');
      expect((await inspectLock(target)).holder).not.toBeNull();
    }
    expect(hashes.size).toBe(2);
  }));

test('safeFileName returns a different name when ids are look-alikes', () => {
  const ids = new Set(lookAlikes);
  expect(new Set([...ids].map((id) => safeFileName(id))).size).toBe(ids.size);
});
