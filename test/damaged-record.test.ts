import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { RecordFields } from './helpers/record.js';
import { deadHolder, magicLine, recordOf, recordSize, sealRecord } from './helpers/record.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { giveTo, users } from './helpers/users.js';

const good = recordOf(deadHolder);
const huge = 10_000_000;

/** With another value for a field, or without it. */
const changed = (fields: RecordFields): Buffer => recordOf({ ...deadHolder, ...fields });

const flipped = (offset: number): Buffer => {
  const block = Buffer.from(good);
  block[offset] = (block[offset] ?? 0) ^ 1;
  return block;
};

const malformed: [name: string, content: Buffer][] = [
  ['only the magic line', Buffer.from(magicLine)],
  ['cut off in the middle', good.subarray(0, 60)],
  ['one byte short', good.subarray(0, recordSize - 1)],
  ['10 MB behind the magic line', Buffer.concat([Buffer.from(magicLine), Buffer.alloc(huge, 'a')])],
  ['zeros behind the magic line', Buffer.concat([Buffer.from(magicLine), Buffer.alloc(1008)])],
  ['a bit flipped in a value', flipped(magicLine.length + 5)],
  ['a bit flipped in the padding', flipped(recordSize - 2)],
  ['no check sum', Buffer.from(`${magicLine}token=5\n`.padEnd(recordSize))],
  [
    'a time that no Date can name',
    sealRecord('pid=1\nhost=a\nacquired_at=9007199254740991\ntoken=1\n'),
  ],
  [
    'a ttl beyond that of any holder',
    sealRecord('pid=1\nhost=a\nacquired_at=1\ntoken=1\nttl=9007199254740991\n'),
  ],
  ['a key twice', sealRecord('pid=1\npid=1\nhost=a\nacquired_at=1\ntoken=1\n')],
  ['a line without a value', sealRecord('pid\nhost=a\nacquired_at=1\ntoken=1\n')],
  ['no token', changed({ token: undefined })],
  ['no host', changed({ host: undefined })],
  ['a holder without a pid', changed({ pid: undefined })],
  ['pid 0', changed({ pid: 0 })],
  ['a negative pid', changed({ pid: -1 })],
  ['a pid that no system has', changed({ pid: 2 ** 31 })],
  ['a pid in hexadecimal', changed({ pid: '0x10' })],
  ['a pid with a leading zero', changed({ pid: '012' })],
  ['a pid behind a space', changed({ pid: ' 12' })],
  ['a token too large to be exact', changed({ token: '9007199254740993' })],
  ['a token too large for 64 bits', changed({ token: '18446744073709551617' })],
  ['a host that is a terminal’s control sequence', changed({ host: '\x1b[2J' })],
  ['a host with a carriage return', changed({ host: 'a\rb' })],
  ['a host that is not ASCII', changed({ host: 'a\xffb' })],
  ['a host that is too long', changed({ host: 'a'.repeat(256) })],
  ['a NUL in the session id', changed({ session_id: 'a\0b' })],
  ['a session hash that is none', changed({ session_hash: 'A'.repeat(64) })],
];

const forms = ['lock', 'lockSync'] as const;

describe.each(users)('as $name', ({ identity }) => {
  test('a damaged record is reported and not believed, and the lock works all the same', async () => {
    await withTemporaryDirectory(
      async (directory) =>
        withLockAgents(async (agents) => {
          const agent = await agents.process(identity);
          for (const [index, [name, content]] of malformed.entries()) {
            for (const form of forms) {
              await expectUnbelieved(agent, path.join(directory, `${index}-${form}`), form, {
                name,
                content,
                identity,
              });
            }
          }
        }),
      identity && { owner: identity },
    );
  });

  test.each(['../../x', '/etc/passwd', 'C:\\x'])(
    'a session id that could lead elsewhere is dropped from all that is told: %s',
    async (session_id) => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const agent = await agents.process(identity);
          const target = path.join(directory, 'data');
          const lockPath = path.join(directory, '.data.lock');
          await writeFile(lockPath, changed({ session_id }));
          await giveTo(identity, directory);
          const holder = { pid: deadHolder.pid, token: deadHolder.token, session: null };

          expect(await agent.inspectLock(target)).toMatchObject({
            holder: null,
            previousHolder: holder,
            malformed: false,
          });
          const held = await agent.lockSync(target, { session: '../mine' });
          expect(held.previousHolder).toMatchObject(holder);
          expect((await agent.inspectLock(target)).holder?.session).toBe('___mine');

          // Somebody writes it into the record of a lock that is held.
          await writeFile(lockPath, changed({ session_id }));
          await expect(agent.lock(target, { timeout: 50 })).rejects.toMatchObject({
            code: 'ETIMEDOUT',
            holder,
          });
          await held.release();
          const reports = await agent.events('record_rejected');
          expect(reports.length).toBeGreaterThanOrEqual(3);
          for (const report of reports) {
            expect(report).toEqual({
              event: 'record_rejected',
              data: { lockPath, reason: 'session_id' },
            });
          }
        }),
      );
    },
  );
});

async function expectUnbelieved(
  agent: LockAgent,
  directory: string,
  form: (typeof forms)[number],
  damage: { name: string; content: Buffer; identity: { uid: number; gid: number } | undefined },
): Promise<void> {
  const { name, content } = damage;
  const target = path.join(directory, 'data');
  const lockPath = path.join(directory, '.data.lock');
  await mkdir(directory);
  await writeFile(lockPath, content);
  await giveTo(damage.identity, directory);
  const reports = async () => {
    const events = await agent.events('record_rejected');
    return events.filter(({ data }) => data.lockPath === lockPath);
  };
  const report = { event: 'record_rejected', data: { lockPath, reason: 'malformed' } };

  const seen = await agent.inspectLock(target);
  expect(seen, name).toMatchObject({
    state: 'free',
    holder: null,
    previousHolder: null,
    malformed: true,
  });
  expect(await reports(), name).toEqual([report]);

  // A shared holder writes no record.
  const shared = await agent[form](target, { shared: true });
  expect(shared.previousHolder, name).toBeNull();
  expect(await reports(), name).toEqual([report, report]);
  await shared.release();
  expect((await readFile(lockPath)).equals(content), name).toBe(true);

  const before = Date.now() * 1000;
  const held = await agent[form](target);
  expect(held.previousHolder, name).toBeNull();
  expect(await reports(), name).toEqual([report, report, report]);
  // As for a new lock file, so that it is later than any token that was lost.
  expect(held.token, name).toBeGreaterThanOrEqual(before);
  expect((await stat(lockPath)).size, name).toBe(recordSize);
  expect(await agent.inspectLock(target), name).toMatchObject({
    state: 'held',
    malformed: false,
    holder: { token: held.token, self: true },
  });
  await held.release();
  const next = await agent[form](target);
  expect(next.token, name).toBe((held.token ?? NaN) + 1);
  await next.release();
  expect(await reports(), name).toHaveLength(3);
}

test('what follows a good record is cut off, and the record is believed', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const lockPath = path.join(directory, '.data.lock');
    await writeFile(lockPath, Buffer.concat([good, Buffer.alloc(huge, 'a')]));
    const held = await lock(target);
    expect(held.previousHolder).toMatchObject({ pid: deadHolder.pid, host: deadHolder.host });
    expect(held.token).toBe(deadHolder.token + 1);
    expect((await stat(lockPath)).size).toBe(recordSize);
    await held.release();
  });
});

test('fields of a later version are no damage', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    await writeFile(path.join(directory, '.data.lock'), changed({ flavour: 'sweet=sour' }));
    const held = await lock(target);
    expect(held.previousHolder).toMatchObject({ pid: deadHolder.pid });
    await held.release();
  });
});
