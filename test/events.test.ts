import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import path from 'node:path';

import {
  channels,
  lock,
  lockSync,
  replaceFile,
  tryLock,
  tryLockSync,
  withLock,
  withLockSync,
} from 'holdfast';
import type { HoldfastEvents, LockTrace, PlainEventName } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { withBindMount } from './helpers/mounts.js';
import { printFigure, quantile } from './helpers/scale.js';
import { makeFile } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const places = (directory: string) => ({
  target: path.join(directory, 'data'),
  lockPath: path.join(directory, '.data.lock'),
});

/** What is published on a channel while `use` runs. */
async function published<Name extends PlainEventName>(
  name: Name,
  use: () => Promise<unknown>,
): Promise<HoldfastEvents[Name][]> {
  const events: HoldfastEvents[Name][] = [];
  const listener = (event: unknown): number => events.push(event as HoldfastEvents[Name]);
  subscribe(`holdfast:${name}`, listener);
  try {
    await use();
  } finally {
    unsubscribe(`holdfast:${name}`, listener);
  }
  return events;
}

/** The parts of the traces of locks while `use` runs, each with what its trace said then. */
async function traced(
  use: () => Promise<unknown>,
): Promise<{ part: string; trace: LockTrace; seen: LockTrace }[]> {
  const parts: { part: string; trace: LockTrace; seen: LockTrace }[] = [];
  const listeners = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map((part) => ({
    name: `tracing:holdfast:lock:${part}`,
    listener: (trace: unknown): void => {
      parts.push({ part, trace: trace as LockTrace, seen: { ...(trace as LockTrace) } });
    },
  }));
  for (const { name, listener } of listeners) subscribe(name, listener);
  try {
    await use();
  } finally {
    for (const { name, listener } of listeners) unsubscribe(name, listener);
  }
  return parts;
}

test('every channel is named after its event', () => {
  const { lock: tracing, ...plain } = channels;
  expect(tracing.asyncEnd.name).toBe('tracing:holdfast:lock:asyncEnd');
  expect(Object.values(plain).map(({ name }) => name)).toEqual(
    Object.keys(plain).map((name) => `holdfast:${name}`),
  );
  expect(Object.keys(channels)).toEqual([
    ...['lock', 'contended', 'lock_fail_open', 'taken_over', 'lost', 'released'],
    ...['record_rejected', 'replace_fallback', 'dropped'],
  ]);
});

describe('lock', () => {
  const asyncParts = ['start', 'end', 'asyncStart', 'asyncEnd'];
  test.each([
    ['lock', asyncParts, async (target: string) => (await lock(target)).release()],
    ['tryLock', asyncParts, async (target: string) => (await tryLock(target))?.release()],
    ['withLock', asyncParts, async (target: string) => withLock(target, () => undefined)],
    ['lockSync', ['start', 'end'], async (target: string) => lockSync(target).release()],
    ['tryLockSync', ['start', 'end'], async (target: string) => tryLockSync(target)?.release()],
    [
      'withLockSync',
      ['start', 'end'],
      async (target: string) => {
        withLockSync(target, () => undefined);
        return Promise.resolve();
      },
    ],
  ])('is traced from the call to the grant: %s', async (_form, parts, use) => {
    await withTemporaryDirectory(async (directory) => {
      const { target, lockPath } = places(directory);
      const events = await traced(() => use(target));
      expect(events.map(({ part }) => part)).toEqual(parts);
      const [first, ...others] = events;
      expect(first?.seen).toEqual({ target, lockPath, shared: false });
      for (const { trace } of others) expect(trace).toBe(first?.trace);
      const { waitedMs, token, ...rest } = events.at(-1)?.seen ?? ({} as LockTrace);
      expect(waitedMs).toBeGreaterThanOrEqual(0);
      expect(token).toBeGreaterThan(0);
      // Not the lock itself: whoever keeps a trace would keep it.
      expect(rest).toEqual({ target, lockPath, shared: false, result: undefined });
    });
  });

  test('is traced to its error, with the time that was waited, and to nothing when it is busy', async () => {
    await withTemporaryDirectory(async (directory) => {
      const { target } = places(directory);
      const held = await lock(target);
      const events = await traced(async () => {
        await expect(lock(target, { shared: true, timeout: 30 })).rejects.toMatchObject({
          code: 'ETIMEDOUT',
        });
        expect(tryLockSync(target)).toBeNull();
      });
      await held.release();
      expect(events.map(({ part }) => part)).toEqual([
        ...['start', 'end', 'error', 'asyncStart', 'asyncEnd'],
        ...['start', 'end'],
      ]);
      expect(events[2]?.seen).toMatchObject({ shared: true, error: { code: 'ETIMEDOUT' } });
      expect(events[2]?.seen.waitedMs).toBeGreaterThanOrEqual(29);
      expect(events.at(-1)?.seen).not.toHaveProperty('token');
    });
  });
});

describe('contended', () => {
  test('is told once for each caller that has to wait, with the holder', async () => {
    await withTemporaryDirectory(async (directory) => {
      const { target, lockPath } = places(directory);
      await withLockAgents(async (agents) => {
        const agent = await agents.process();
        const held = await agent.lock(target);
        const events = await published('contended', async () => {
          const waits = [false, true].map((shared) =>
            // Long enough for a second look at who is in the way.
            lock(target, { shared, timeout: 1200 }).catch((error: unknown) => error),
          );
          await Promise.all(waits);
          expect(() => lockSync(target, { timeout: 30 })).toThrow('ETIMEDOUT');
          await expect(lock(target, { timeout: 0 })).rejects.toThrow('ETIMEDOUT');
          expect(await tryLock(target)).toBeNull();
        });
        const holder = expect.objectContaining({ pid: agent.pid, token: held.token }) as unknown;
        const place = { target, lockPath };
        expect(events).toEqual([
          { ...place, shared: false, holder },
          { ...place, shared: true, holder },
          { ...place, shared: false, holder },
          { ...place, shared: false, holder },
        ]);
      });
    });
  });

  test('is not told of a lock that is free', async () => {
    await withTemporaryDirectory(async (directory) => {
      const { target } = places(directory);
      const events = await published('contended', async () => (await lock(target)).release());
      expect(events).toEqual([]);
    });
  });
});

test('released tells how long the lock was held, once', async () => {
  await withTemporaryDirectory(async (directory) => {
    const { target, lockPath } = places(directory);
    const held = await lock(target);
    const events = await published('released', async () => {
      await held.release();
      await held.release();
      lockSync(target, { shared: true }).releaseSync();
    });
    expect(events).toEqual([
      // Nobody looked at the clock when it was granted.
      { target, lockPath, token: held.token, heldMs: null },
      { target, lockPath, token: null, heldMs: expect.any(Number) as number },
    ]);
  });
});

test.runIf(has('bindMount'))(
  'replace_fallback tells of a file that could not be renamed into place, and why if that was tried',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = await makeFile(path.join(directory, 'data'), 'old');
      const source = await makeFile(path.join(directory, 'mounted'), 'old');
      const events = await published('replace_fallback', async () => {
        await replaceFile(file, 'renamed');
        await replaceFile(file, 'copied as asked', { copyFallback: 'always' });
        await withBindMount(source, file, () => replaceFile(file, 'copied'));
      });
      expect(events).toEqual([{ path: file, method: 'copy', attempts: 1 }]);
    });
  },
);

describe('a channel without subscribers', () => {
  test('is never published to, and a lock on it costs no more than a few looks', async () => {
    await withTemporaryDirectory(async (directory) => {
      const { target } = places(directory);
      lockSync(target).releaseSync();
      let calls = 0;
      const { lock: tracing, ...plain } = channels;
      const all = [...Object.values(plain), tracing.start, tracing.end, tracing.error];
      for (const channel of all) {
        Object.defineProperty(channel, 'publish', { value: () => calls++, configurable: true });
      }
      try {
        for (let round = 0; round < 100; round++) {
          lockSync(target).releaseSync();
          await (await lock(target)).release();
        }
      } finally {
        for (const channel of all) Reflect.deleteProperty(channel, 'publish');
      }
      expect(calls).toBe(0);

      const look = nanoseconds(100_000, () => channels.lock.hasSubscribers);
      const whole = nanoseconds(100, () => {
        lockSync(target).releaseSync();
      });
      const events: unknown[] = [];
      const listener = (event: unknown): number => events.push(event);
      subscribe('holdfast:released', listener);
      subscribe('tracing:holdfast:lock:end', listener);
      const told = nanoseconds(100, () => {
        lockSync(target).releaseSync();
      });
      unsubscribe('holdfast:released', listener);
      unsubscribe('tracing:holdfast:lock:end', listener);
      printFigure(
        `lockSync and release: ${whole} ns without subscribers, of which ${look} ns for a look at the ` +
          `tracing channel; ${told} ns with subscribers`,
      );
      // That one and two at plain channels are all there is.
      expect(3 * look).toBeLessThan(whole);
    });
  });
});

/** The median of nine measurements of `rounds` calls each, for one call. */
function nanoseconds(rounds: number, use: () => unknown): number {
  const samples = Array.from({ length: 9 }, () => {
    const start = performance.now();
    for (let round = 0; round < rounds; round++) use();
    return ((performance.now() - start) * 1e6) / rounds;
  });
  return Math.round(quantile(samples, 0.5));
}
