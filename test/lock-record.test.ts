import { crc32 } from 'node:zlib';
import { writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { lock } from 'holdfast';
import { expect, test } from 'vitest';

import { native, RecordState } from '../src/native.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const blockSize = 1024;
const magic = 'holdfast lock 1\n';

function seal(text: string): Buffer {
  const sum = crc32(text).toString(16).padStart(8, '0');
  const block = Buffer.alloc(blockSize, ' ');
  block.write(`${text}sum=${sum}\n`);
  block[blockSize - 1] = 0x0a;
  return block;
}

const holder = 'pid=12\nhost=web-1\nacquired_at=1700000000000\n';

function parse(text: string): ReturnType<typeof native.parseRecord> {
  const block = seal(magic + text);
  return native.parseRecord(block, block.length);
}

test('the record of a holder is what docs say: text, a check sum as in zip, spaces, a line feed', () =>
  withTemporaryDirectory(async (directory) => {
    const held = await lock(path.join(directory, 'data'), { session: 'a/b' });
    const block = await readFile(held.lockPath);
    expect(block).toHaveLength(blockSize);
    const text = block.toString('latin1');
    const body = text.slice(0, text.indexOf('sum='));
    expect(block).toEqual(seal(body));
    expect(body.startsWith(magic)).toBe(true);
    const fields = Object.fromEntries(
      body
        .slice(magic.length, -1)
        .split('\n')
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    ) as Record<string, string>;
    expect(fields).toMatchObject({
      pid: String(process.pid),
      session_id: 'a_b',
      session_hash: createHash('sha256').update('a/b').digest('hex'),
      token: String(held.token),
    });
    await held.release();
  }));

test('a session id is cut to 128 characters, and its hash tells it apart all the same', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const session = 'x'.repeat(5000);
    const held = await lock(target, { session });
    const record = native.parseRecord(await readFile(held.lockPath), blockSize);
    expect(record.sessionId).toBe('x'.repeat(128));
    expect(record.sessionHash).toBe(createHash('sha256').update(session).digest('hex'));
    await held.release();
  }));

test('a whole record is read as it was written', () => {
  expect(
    parse(
      `${holder}start_token=a:1\nsession_id=s-1\nsession_hash=${'0a'.repeat(32)}\ntoken=7\nttl=30000\nepoch=2\n`,
    ),
  ).toEqual({
    state: RecordState.valid,
    sessionRejected: false,
    pid: 12,
    host: 'web-1',
    startToken: 'a:1',
    sessionId: 's-1',
    sessionHash: '0a'.repeat(32),
    acquiredAt: 1_700_000_000_000,
    token: 7,
    ttl: 30_000,
    epoch: 2,
  });
  expect(parse('token=7\n')).toMatchObject({ state: RecordState.valid, pid: 0, token: 7 });
  expect(parse('token=7\nlater_field=x\n')).toMatchObject({ state: RecordState.valid });
});

test.each([
  ['a key twice', `${holder}token=7\ntoken=8\n`],
  ['no token', holder],
  ['a token of 0', 'token=0\n'],
  ['a signed number', 'token=+7\n'],
  ['a leading zero', 'token=07\n'],
  ['a fraction', 'token=7.5\n'],
  ['a number that is not exact in JavaScript', 'token=9007199254740992\n'],
  ['a pid of 0', `${holder.replace('pid=12', 'pid=0')}token=7\n`],
  ['a pid that is too large', `${holder.replace('pid=12', 'pid=2147483648')}token=7\n`],
  ['a holder without its host', 'pid=12\nacquired_at=1\ntoken=7\n'],
  ['a session without a holder', 'session_id=s\ntoken=7\n'],
  ['a control character', `${holder}session_id=a\u0007b\ntoken=7\n`],
  ['a byte beyond ASCII', `${holder.replace('web-1', 'w\u00e9b')}token=7\n`],
  ['a hash that is none', `${holder}session_hash=xyz\ntoken=7\n`],
  ['a line without "="', 'token=7\nnonsense\n'],
  ['an empty key', 'token=7\n=x\n'],
  ['an over-long session id', `${holder}session_id=${'s'.repeat(129)}\ntoken=7\n`],
])('a record with %s is malformed', (_what, text) => {
  const record = parse(text);
  expect(record).toMatchObject({ state: RecordState.malformed, pid: 0, token: 0, sessionId: '' });
});

test.each(['../../x', 'a/b', 'a\\b', 'a..b', '..'])(
  'a stored session id of %s is dropped',
  (id) => {
    expect(parse(`${holder}session_id=${id}\ntoken=7\n`)).toMatchObject({
      state: RecordState.valid,
      sessionRejected: true,
      sessionId: '',
      pid: 12,
    });
  },
);

test('a changed, shortened or lengthened block is malformed; zeros are empty; other data is foreign', () => {
  const block = seal(`${magic}${holder}token=7\n`);
  for (let index = magic.length; index < block.length; index++) {
    const changed = Buffer.from(block);
    changed[index] = (changed[index] ?? 0) ^ 1;
    expect(native.parseRecord(changed, blockSize).state, `byte ${String(index)}`).toBe(
      RecordState.malformed,
    );
  }
  expect(native.parseRecord(block.subarray(0, 500), 500).state).toBe(RecordState.malformed);
  expect(native.parseRecord(Buffer.alloc(0), 0).state).toBe(RecordState.empty);
  expect(native.parseRecord(Buffer.alloc(blockSize), blockSize).state).toBe(RecordState.empty);
  expect(native.parseRecord(Buffer.alloc(blockSize), 4096).state).toBe(RecordState.foreign);
  expect(native.parseRecord(Buffer.from('{"a":1}'), 7).state).toBe(RecordState.foreign);
  expect(native.parseRecord(Buffer.from('holdfast lock 2\n'), 16).state).toBe(RecordState.foreign);
});

test('arbitrary bytes never throw, and never give more than a record may hold', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('pid=1', 'token=5', 'host=h', 'acquired_at=9', 'session_id=../x', 'ttl=1'),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, sealed) => {
      const text = magic + lines.map((each) => `${each}\n`).join('');
      const bytes = Buffer.from(text, 'latin1');
      const block = sealed && bytes.length < 900 ? seal(bytes.toString('latin1')) : bytes;
      const record = native.parseRecord(block, block.length);
      expect(record.sessionId).not.toMatch(/[/\\]|\.\.|[^ -~]/);
      expect(record.sessionId.length).toBeLessThanOrEqual(128);
      expect(record.host).not.toMatch(/[^ -~]/);
      if (record.state !== RecordState.valid) expect(record.token).toBe(0);
    }),
    { numRuns: 2000 },
  );
});

test('a malformed record neither blocks the lock nor steps the token back', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const first = await lock(target);
    await first.release();
    await writeFile(first.lockPath, `${magic}token=5\n`);
    const second = await lock(target);
    expect(second.token).toBeGreaterThan(first.token ?? 0);
    expect(native.parseRecord(await readFile(second.lockPath), blockSize).pid).toBe(process.pid);
    await second.release();
  }));
