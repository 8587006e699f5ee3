import { statSync } from 'node:fs';
import path from 'node:path';

import { channels, lock, openJournal } from 'holdfast';
import { expect, test } from 'vitest';

import { readJournal, withJournal } from './helpers/journal.js';

function circular(): object {
  const object: Record<string, unknown> = { code: 'ESELF' };
  object.self = object;
  return object;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

const fail = (): never => {
  throw new Error('hostile');
};

function deep(): unknown {
  let value: unknown = 1;
  for (let level = 0; level < 100_000; level++) value = { value };
  return value;
}

const hostile: [what: string, make: () => unknown][] = [
  ['circular', circular],
  ['a BigInt', () => 5n],
  ['a BigInt of four million digits', () => 1n << 13_000_000n],
  ['a symbol', () => Symbol('reason')],
  ['a function', () => fail],
  [
    'an object with a getter that throws',
    () => ({
      get code() {
        return fail();
      },
    }),
  ],
  ['an object whose toJSON throws', () => ({ toJSON: fail })],
  [
    'an error whose message throws',
    () => Object.defineProperty(new Error('x'), 'message', { get: fail }),
  ],
  ['an error with a BigInt as code', () => Object.assign(new Error('x'), { code: 5n })],
  ['an error with a circular code', () => Object.assign(new Error('x'), { code: circular() })],
  ['a revoked proxy', revoked],
  [
    'a proxy that throws at everything',
    () => new Proxy({}, { get: fail, ownKeys: fail, getPrototypeOf: fail }),
  ],
  ['an invalid date', () => new Date(NaN)],
  ['a string of 50 million characters', () => 'x'.repeat(50_000_000)],
  ['a buffer of 50 MB', () => Buffer.alloc(50_000_000)],
  ['an array of a million', () => Array.from({ length: 1_000_000 }, () => 'x')],
  ['nested 100,000 deep', deep],
  [
    'an object of 100,000 long names',
    () =>
      Object.fromEntries(Array.from({ length: 100_000 }, (_none, n) => [`${n}`.padStart(500), n])),
  ],
  ['a lone surrogate', () => '\uD800'],
];

test.each(hostile)(
  'openJournal keeps a line and fails nothing when an abort reason is %s',
  async (_what, make) => {
    await withJournal(async (file, directory) => {
      const target = path.join(directory, 'data');
      await using held = await lock(target);
      await using journal = await openJournal(file, { events: ['lock'] });
      const reason = make();
      const controller = new AbortController();
      const waiting = lock(target, { signal: controller.signal });
      const ended = waiting.then(
        () => 'granted',
        (error: unknown) => (Object.is(error, reason) ? 'the reason' : error),
      );
      controller.abort(reason);
      expect(await ended).toBe('the reason');
      held.releaseSync();
      await journal.flush();
      expect(journal.lost).toBe(0);
      const [line, ...others] = await readJournal(file);
      expect(line).toMatchObject({ event: 'lock', target });
      expect(line).toHaveProperty('error');
      expect(others).toEqual([]);
      expect(statSync(file).size).toBeLessThan(256 * 1024);
    });
  },
);

test.each([
  ['null', () => null],
  ['a string', () => 'text'],
  ['a symbol', () => Symbol('event')],
  ...hostile.slice(0, 11),
])('openJournal fails no publisher when an event itself is %s', async (_what, make) => {
  await withJournal(async (file) => {
    await using journal = await openJournal(file, { events: ['lost', 'lock'] });
    const failures: unknown[] = [];
    const onFailure = (error: unknown): void => void failures.push(error);
    // node:diagnostics_channel throws what a subscriber has thrown in the next tick.
    process.on('uncaughtException', onFailure);
    try {
      channels.lost.publish(make());
      channels.lock.asyncEnd.publish(make());
      await new Promise(setImmediate);
    } finally {
      process.off('uncaughtException', onFailure);
    }
    expect(failures).toEqual([]);
    await journal.flush();
    for (const line of await readJournal(file)) expect(line.event).toBe('lost');
  });
});

test('openJournal keeps its own fields when an event has fields of these names', () =>
  withJournal(async (file) => {
    await using journal = await openJournal(file, { events: ['lost'] });
    channels.lost.publish({ event: 'taken_over', time: 'now', pid: 'x', host: 5, target: 't' });
    await journal.flush();
    expect(await readJournal(file)).toMatchObject([
      { event: 'lost', pid: process.pid, target: 't' },
    ]);
  }));
