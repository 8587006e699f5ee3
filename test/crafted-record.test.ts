import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import fc from 'fast-check';
import { inspectLock, lock, lockSync } from 'holdfast';
import type { HoldfastError, WaitInfo } from 'holdfast';
import { expect, test } from 'vitest';

import { recordOf, sealRecord } from './helpers/record.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const number = fc.oneof(
  fc.bigInt({ min: 0n, max: 1n << 65n }),
  fc.constantFrom(
    8_640_000_000_000_000n,
    8_640_000_000_000_001n,
    (1n << 53n) - 1n,
    (1n << 31n) - 1n,
  ),
);
const text = fc.string({ unit: 'binary-ascii', maxLength: 140 });
const fields = fc.record({
  pid: fc.oneof(number, fc.constant(1n), fc.constant(BigInt(process.pid))),
  host: fc.oneof(text, fc.constant('host')),
  start_token: fc.option(text, { nil: undefined }),
  session_id: fc.option(text, { nil: undefined }),
  acquired_at: number,
  token: fc.oneof(number, fc.constant(5n)),
  ttl: fc.option(number, { nil: undefined }),
  epoch: fc.option(number, { nil: undefined }),
});
const block = fc.oneof(
  fields.map((values) =>
    recordOf(
      Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value?.toString()])),
    ),
  ),
  text.map(sealRecord),
  fc.uint8Array({ maxLength: 1100 }).map((bytes) => Buffer.from(bytes)),
);

test('lock, lockSync and inspectLock describe the holder of a lock whatever its record says', () =>
  withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    const held = lockSync(file);
    await fc.assert(
      fc.asyncProperty(block, async (bytes) => {
        await writeFile(held.lockPath, bytes);
        const waits: WaitInfo[] = [];
        const onWait = (wait: WaitInfo) => waits.push(wait);
        const error = (await lock(file, { timeout: 1, onWait }).catch(
          (reason: unknown) => reason,
        )) as HoldfastError;
        // Foreign contents are refused; everything else is a holder that is waited for.
        expect(['ETIMEDOUT', 'ECORRUPT']).toContain(error.code);
        expect(error.name).toBe('HoldfastError');
        for (const { message } of waits) expect(message).toContain('still waiting for the lock');
        const seen = await inspectLock(file).catch((reason: unknown) => reason as HoldfastError);
        if ('code' in seen) expect(seen.code).toBe('ECORRUPT');
        else expect(() => JSON.stringify(seen)).not.toThrow();
      }),
      {
        numRuns: 150,
        examples: [[recordOf({ pid: 1, host: 'a', acquired_at: '9007199254740991', token: 1 })]],
      },
    );
    await writeFile(held.lockPath, '');
    held.releaseSync();
  }));
