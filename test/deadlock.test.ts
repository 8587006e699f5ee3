import path from 'node:path';
import { lock, lockSync, tryLock, tryLockSync, withLock, withLockSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { mustBlock } from './helpers/must-block.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const deadlock = expect.objectContaining({ name: 'HoldfastError', code: 'EDEADLK' }) as unknown;

describe('a blocking call that would wait for its own thread', () => {
  test.each([
    [false, false],
    [false, true],
    [true, false],
  ])('fails at once: held shared %s, wanted shared %s', (heldShared, wantedShared) =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      for (const held of [
        await lock(target, { shared: heldShared }),
        lockSync(path.join(directory, 'other'), { shared: heldShared }),
      ]) {
        expect(() => lockSync(held.target, { shared: wantedShared })).toThrow(deadlock);
        expect(() => withLockSync(held.target, { shared: wantedShared }, () => 0)).toThrow(
          deadlock,
        );
        expect(tryLockSync(held.target, { shared: wantedShared })).toBeNull();
        expect(held.held).toBe(true);
        held.verify();
        await held.release();
        lockSync(held.target, { shared: wantedShared }).releaseSync();
      }
    }),
  );

  test('is granted where both are shared', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const first = await lock(target, { shared: true });
      lockSync(target, { shared: true }).releaseSync();
      await first.release();
    }));
});

describe('a withLock inside a withLock on the same target', () => {
  test('fails at once, and the outer one goes on', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const outcome = await withLock(target, async (outer) => {
        await expect(withLock(target, () => 0)).rejects.toEqual(deadlock);
        await expect(withLock(target, { shared: true }, () => 0)).rejects.toEqual(deadlock);
        // However the target is spelled.
        const spelling = `${directory}/../${path.basename(directory)}/data`;
        await expect(withLock(spelling, () => 0)).rejects.toEqual(deadlock);
        return outer.held;
      });
      expect(outcome).toBe(true);
      await (await lock(target, { timeout: 10_000 })).release();
    }));

  test('fails also behind a withLock on another target in between', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      await withLock(target, () =>
        withLock(path.join(directory, 'other'), async () => {
          await expect(withLock(target, () => 0)).rejects.toEqual(deadlock);
        }),
      );
    }));

  test('is granted where both are shared, even with an exclusive caller waiting in between', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      await withLock(target, { shared: true }, async () => {
        const exclusive = await mustBlock(lock(target), 'a writer');
        const inner = await withLock(target, { shared: true }, (held) => held.held);
        expect(inner).toBe(true);
        return { exclusive };
      }).then(async ({ exclusive }) => (await exclusive()).release());
    }));

  test("waits with nested: 'wait', for work that the outer function does not wait for", () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      let later: Promise<string> | undefined;
      await withLock(target, () => {
        later = withLock(target, { nested: 'wait' }, () => 'later');
      });
      expect(await later).toBe('later');
    }));

  test('waits when the outer function has ended already', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      let begin = (): void => undefined;
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      let later: Promise<number> | undefined;
      await withLock(target, () => {
        later = begun.then(() => withLock(target, () => 1));
      });
      const other = await lock(target);
      begin();
      const granted = await mustBlock(
        later ?? Promise.resolve(0),
        'work that outlived its context',
      );
      await other.release();
      expect(await granted()).toBe(1);
    }));
});

test('a plain lock() has no owner: a second one in the same flow waits, and says who holds it', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const messages: string[] = [];
    const second = await mustBlock(
      lock(target, { onWait: ({ message }) => void messages.push(message) }),
      'a second lock()',
    );
    expect(messages[0]).toContain('held by this process');
    await expect(lock(target, { timeout: 20 })).rejects.toThrow(/held by this process/);
    await held.release();
    await (await second()).release();
    expect(await tryLock(target).then((free) => free?.release())).toBeUndefined();
  }));
