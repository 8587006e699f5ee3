import path from 'node:path';

import { lock, lockSync, tryLock, tryLockSync, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child } from './helpers/child.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const timeout = 300;

/** Another process has a lease on the file beside the target that ends with `suffix`. */
async function withLease(
  suffix: string,
  use: (target: string, leaseholder: Child) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withChildren(async (children) => {
      const target = path.join(directory, 'data');
      // Makes the lock file, and by two grants of a lock with a ttl its guard.
      for (let grants = 0; grants < 2; grants++) {
        await (await lock(target, { ttl: 60_000 })).release();
      }
      const script = path.join(fixturesDirectory, 'leased-file.py');
      const file = path.join(directory, `.data.lock${suffix}`);
      const leaseholder = children.spawn('python3', [script, file]);
      await leaseholder.waitForOutput(/^leased$/m);
      await use(target, leaseholder);
    }),
  );
}

describe.runIf(has('leases')).each([
  ['lock file', ''],
  ['guard', '.guard'],
])('while another process has a lease on the %s', (_name, suffix) => {
  test('lock, lockSync and updateFile reject with ETIMEDOUT when their timeout has passed', async () => {
    await withLease(suffix, async (target) => {
      const expected = { code: 'ETIMEDOUT' };
      const startedAt = performance.now();
      await expect(lock(target, { timeout })).rejects.toMatchObject(expected);
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(timeout - 1);
      expect(() => lockSync(target, { timeout })).toThrow(expect.objectContaining(expected));
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2 * timeout - 2);
      const updated = updateFile(target, () => 'new', { timeout });
      await expect(updated).rejects.toMatchObject(expected);
    });
  });

  test('lock and lockSync are granted as soon as the lease is given up', async () => {
    await withLease(suffix, async (target, leaseholder) => {
      const waiting = lock(target);
      leaseholder.process.stdin?.end();
      await (await waiting).release();
      lockSync(target).releaseSync();
    });
  });
});

test.runIf(has('leases'))(
  'tryLock and tryLockSync fail with EAGAIN while another process has a lease on the lock file',
  async () => {
    await withLease('', async (target) => {
      await expect(tryLock(target)).rejects.toMatchObject({ code: 'EAGAIN', syscall: 'open' });
      expect(() => tryLockSync(target)).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
    });
  },
);
