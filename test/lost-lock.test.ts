import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  HoldfastError,
  lock,
  lockSync,
  tryLock,
  tryLockSync,
  withLock,
  withLockSync,
} from 'holdfast';
import type { FileLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { kernelWaiters, until } from './helpers/process-figures.js';
import { ms, printFigure } from './helpers/scale.js';
import { takeAway } from './helpers/taken-away.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** What an outsider may do to a lock file. */
const acts: (readonly [string, (lockPath: string) => Promise<void>])[] = [
  ...(has('unlinkOpenFiles') ? [['removed', (lockPath: string) => rm(lockPath)] as const] : []),
  ['renamed', (lockPath) => rename(lockPath, `${lockPath}.away`)],
  [
    'replaced by another file',
    async (lockPath) => {
      await writeFile(`${lockPath}.new`, '', { mode: 0o600 });
      if (!has('renameOverOpenFiles')) takeAway(lockPath);
      await rename(`${lockPath}.new`, lockPath);
    },
  ],
  [
    'replaced by a directory',
    async (lockPath) => {
      takeAway(lockPath);
      await mkdir(lockPath);
    },
  ],
];

const compromised = (lockPath: string) => ({
  name: 'HoldfastError',
  code: 'ECOMPROMISED',
  path: lockPath,
  refused: false,
});

function passes(held: FileLock): boolean {
  try {
    held.verify();
    return true;
  } catch (error) {
    expect(error).toMatchObject(compromised(held.lockPath));
    return false;
  }
}

async function withTarget(
  use: (target: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) => use(path.join(directory, 'file'), directory));
}

describe.each(acts)('a lock whose file was %s', (_what, act) => {
  test('is lost, and verify() says so', () =>
    withTarget(async (target) => {
      for (const shared of [false, true]) {
        const held = await lock(target, { shared });
        expect(held.lost).toBe(false);
        held.verify();
        await act(held.lockPath);
        expect(held.lost).toBe(true);
        expect(held.held).toBe(false);
        expect(passes(held)).toBe(false);
        expect(passes(held)).toBe(false);
        await held.release();
        await rm(held.lockPath, { recursive: true, force: true });
      }
    }));

  test('is found out by verify() alone', () =>
    withTarget(async (target) => {
      const held = await lock(target);
      await act(held.lockPath);
      expect(passes(held)).toBe(false);
      expect(held.lost).toBe(true);
      await held.release();
    }));

  test('makes withLock and withLockSync fail, whatever the function returned', () =>
    withTarget(async (target, directory) => {
      const lockPath = path.join(directory, '.file.lock');
      const context = withLock(target, async () => {
        await act(lockPath);
        return 'done';
      });
      await expect(context).rejects.toMatchObject(compromised(lockPath));
      await rm(lockPath, { recursive: true, force: true });

      const removal = () =>
        withLockSync(target, () => {
          takeAway(lockPath);
          return 'done';
        });
      expect(removal).toThrow(expect.objectContaining(compromised(lockPath)) as Error);

      // What the function itself threw is what the caller has to know.
      const own = new Error('of its own');
      const failing = withLock(target, async () => {
        await act(lockPath);
        throw own;
      });
      await expect(failing).rejects.toBe(own);
    }));
});

test('a lost lock aborts its signal within a few seconds, with the error as the reason', () =>
  withTemporaryDirectory((directory) =>
    Promise.all(
      acts.map(async ([what, act], index) => {
        const held = await lock(path.join(directory, `file-${index}`));
        const { signal } = held;
        expect(signal.aborted).toBe(false);
        const started = performance.now();
        await act(held.lockPath);
        await within(once(signal, 'abort'), 'the abort of the signal');
        printFigure(`${what}: the signal aborted after ${ms(performance.now() - started)}`);
        expect(signal.reason).toBeInstanceOf(HoldfastError);
        expect(signal.reason).toMatchObject(compromised(held.lockPath));
        expect(held.lost).toBe(true);
        expect(held.signal).toBe(signal);
        await held.release();
      }),
    ),
  ));

test('releasing a lost lock touches neither the new lock file nor its holder', () =>
  withTarget(async (target) => {
    const lost = await lock(target);
    takeAway(lost.lockPath);
    const next = await lock(target);
    expect(next.token).toBeGreaterThan(lost.token ?? 0);
    const before = await stat(next.lockPath, { bigint: true });
    await lost.release();
    expect(await stat(next.lockPath, { bigint: true })).toEqual(before);
    next.verify();
    expect(await tryLock(target)).toBeNull();
    await next.release();
  }));

test.runIf(has('renameOverOpenFiles'))(
  'at no step of a lock file being moved to and fro are two holders verified',
  () =>
    withTarget(async (target, directory) => {
      const lockPath = path.join(directory, '.file.lock');
      const first = await lock(target);
      renameSync(lockPath, `${lockPath}.1`);
      const second = lockSync(target);
      const third = (): FileLock => {
        renameSync(lockPath, `${lockPath}.2`);
        return lockSync(target);
      };
      expect(passes(second)).toBe(true);
      // The first one's file comes back before it has noticed anything.
      renameSync(lockPath, `${lockPath}.2`);
      renameSync(`${lockPath}.1`, lockPath);
      expect([passes(first), passes(second)]).toEqual([true, false]);
      expect(tryLockSync(target)).toBeNull();
      const locks = [first, second, third()];
      expect(locks.map(passes)).toEqual([false, false, true]);
      // Who was lost once stays so, also when the file comes back.
      renameSync(`${lockPath}.2`, lockPath);
      expect(locks.map(passes)).toEqual([false, false, false]);
      for (const held of locks) await held.release();
      const last = await lock(target);
      last.verify();
      await last.release();
    }),
);

describe.runIf(has('proc'))('those who wait on a lock file that was taken away', () => {
  test.each(['lock', 'lockSync'] as const)(
    'find the new one within seconds, though the holder of the old one stays (%s)',
    (form) =>
      withTemporaryDirectory((directory) =>
        withLockAgents(async (agents) => {
          const [holder, other] = await Promise.all([agents.process(), agents.process()]);
          const findNew = async ([what, act]: (typeof acts)[number], index: number) => {
            const waiter = await agents.process();
            const target = path.join(directory, `file-${index}`);
            const old = await holder.lock(target);
            const wait = waiter[form](target);
            const behind = form === 'lock' ? waiter.lock(target) : undefined;
            await until(() => kernelWaiters(old.lockPath) === 1, 'the wait to reach the kernel');
            const started = performance.now();
            await act(old.lockPath);
            const granted = await within(wait, `the wait on a lock file that was ${what}`);
            printFigure(`${form}, ${what}: granted after ${ms(performance.now() - started)}`);
            await granted.verify();
            await expect(old.verify()).rejects.toMatchObject({ code: 'ECOMPROMISED' });
            expect(await other.tryLock(target)).toBeNull();
            const second = behind && (await mustBlock(behind, 'the next caller'));
            await granted.release();
            await (await second?.())?.release();
            await old.release();
          };
          await Promise.all(acts.slice(0, 3).map(findNew));
        }),
      ),
  );

  test('wait on when another holder has the new one', () =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const [holder, waiter, other] = await Promise.all([
          agents.process(),
          agents.process(),
          agents.process(),
        ]);
        const target = path.join(directory, 'file');
        const old = await holder.lock(target);
        const waits = [waiter.lock(target), waiter.lock(target, { shared: true })];
        await until(() => kernelWaiters(old.lockPath) === 1, 'the wait to reach the kernel');
        takeAway(old.lockPath);
        const fresh = await other.lock(target);
        await until(() => kernelWaiters(fresh.lockPath) === 1, 'the wait to move to the new file');
        // The old one's release is of no use to anybody now.
        await old.release();
        const first = await mustBlock(waits[0] as (typeof waits)[0], 'the first caller');
        await fresh.release();
        const second = await mustBlock(waits[1] as (typeof waits)[0], 'the second caller');
        await (await first()).release();
        await (await second()).release();
      }),
    ));
});
