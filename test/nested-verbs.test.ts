import path from 'node:path';

import {
  JobStore,
  lockSync,
  readRegularFile,
  replaceFile,
  SessionLock,
  updateFile,
  updateFileSync,
  updateJson,
  withLock,
} from 'holdfast';
import { expect, test } from 'vitest';

import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

type Callback = (file: string, inner: () => unknown) => Promise<unknown>;

/** A function of an update that changes nothing. */
async function leaveAlone(inner: () => unknown): Promise<undefined> {
  await inner();
}

const deadlock = { name: 'HoldfastError', code: 'EDEADLK' };

/** Verbs that hold the lock of a file while a function of the caller runs. */
const outer: [string, Callback][] = [
  ['withLock', (file, inner) => withLock(file, inner)],
  ['updateFile', (file, inner) => updateFile(file, () => leaveAlone(inner))],
  [
    'updateFile with other options',
    (file, inner) => updateFile(file, () => leaveAlone(inner), { timeout: 40_000 }),
  ],
  ['updateJson', (file, inner) => updateJson(file, () => leaveAlone(inner))],
];

/** Verbs that wait for the lock of a file. */
const inner: [string, (file: string) => unknown][] = [
  ['withLock', (file) => withLock(file, () => undefined)],
  ['updateFile', (file) => updateFile(file, () => 'inner')],
  ['updateFile with other options', (file) => updateFile(file, () => 'x', { durability: 'none' })],
  ['updateJson', (file) => updateJson(file, () => ({}))],
  ['replaceFile with ifMatch', (file) => replaceFile(file, 'inner', { ifMatch: null })],
  ['updateFileSync', (file) => updateFileSync(file, () => 'inner')],
  ['lockSync', (file) => lockSync(file)],
];

const pairs = outer.flatMap(([outside, around]) =>
  inner.map(([inside, call]) => ({ outside, around, inside, call })),
);

test.each(pairs)(
  '$inside rejects with EDEADLK when it runs inside $outside on the same file',
  ({ around, call }) =>
    withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file');
      const spelling = `${directory}/../${path.basename(directory)}/file`;
      let calls = 0;
      await around(file, async () => {
        calls++;
        for (const target of [file, spelling]) {
          await expect(Promise.resolve().then(() => call(target))).rejects.toMatchObject(deadlock);
        }
        // Behind a callback for another file as well.
        await withLock(path.join(directory, 'other'), async () => {
          await expect(Promise.resolve().then(() => call(file))).rejects.toMatchObject(deadlock);
        });
      });
      expect(calls).toBe(1);
      expect(await readRegularFile(file)).toBeNull();
      // Nothing was left waiting or held.
      await updateFile(file, () => 'after', { timeout: 10_000 });
    }),
);

test('updateFile inside withLock rejects with EDEADLK while updates of other callers wait on', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const release = withResolvers<undefined>();
    const entered = withResolvers<undefined>();
    const holder = withLock(file, async () => {
      entered.resolve(undefined);
      await release.promise;
      await expect(updateFile(file, () => 'inner')).rejects.toMatchObject(deadlock);
    });
    await entered.promise;
    const waiting = updateFile(file, (current) => `${String(current ?? '')}outer`);
    release.resolve(undefined);
    await holder;
    expect(String(await waiting)).toBe('outer');
  }));

test("updateFile with nested: 'wait' waits for the withLock that started it", () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    let later: Promise<Buffer | null> = Promise.resolve(null);
    await withLock(file, () => {
      later = updateFile(file, () => 'later', { nested: 'wait' });
    });
    expect(String(await later)).toBe('later');
  }));

test('updateFile waits when the withLock that started it has ended', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const begin = withResolvers<undefined>();
    let later: Promise<Buffer | null> = Promise.resolve(null);
    await withLock(file, () => {
      later = begin.promise.then(() => updateFile(file, () => 'later'));
    });
    const other = lockSync(file);
    begin.resolve(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    other.releaseSync();
    expect(String(await later)).toBe('later');
  }));

test('JobStore and SessionLock reject with EDEADLK inside a withLock on what they lock', () =>
  withTemporaryDirectory(async (directory) => {
    const session = new SessionLock(path.join(directory, 'session'), { timeout: 20_000 });
    await withLock(session.path, async () => {
      await expect(session.create({ session: 'one' })).rejects.toMatchObject(deadlock);
    });
    const store = new JobStore(path.join(directory, 'jobs'));
    await store.update('id', { status: 'begun' });
    let inside: Promise<unknown> = Promise.resolve();
    await store.update('id', () => {
      // Not awaited, so that it waits for nothing of its own.
      inside = store.update('id', { status: 'inside' });
      return { status: 'outside' };
    });
    await inside;
    expect(await store.read('id')).toMatchObject({ status: 'inside' });
  }));

test('withLock keeps no context of callbacks that have ended when a poller starts inside one', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const references: WeakRef<object>[] = [];
    // Each round is started inside the one before and outlives it.
    const poll = async (rounds: number): Promise<void> => {
      const next: Promise<void>[] = [];
      const ended = withResolvers<undefined>();
      await withLock(file, (held) => {
        references.push(new WeakRef(held));
        if (rounds > 0) next.push(ended.promise.then(() => poll(rounds - 1)));
      });
      ended.resolve(undefined);
      await Promise.all(next);
    };
    await poll(30);
    const { setFlagsFromString } = await import('node:v8');
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      gc();
    }
    expect(references.filter((reference) => reference.deref() !== undefined).length).toBeLessThan(
      5,
    );
  }));
