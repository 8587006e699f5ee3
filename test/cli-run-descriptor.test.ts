import { readFileSync } from 'node:fs';
import path from 'node:path';

import { tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { holdfast } from './helpers/command-line.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test.runIf(has('posixShell'))(
  'holdfast run leaves the lock file usable when its command writes to low descriptors',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'target');
      const writes = [3, 4, 5, 6, 7, 8, 9].map(
        (n) => `(head -c 5000 /dev/zero | tr '\\0' x >&${n}) 2>/dev/null`,
      );
      const script = `${writes.join('; ')}; exit 0`;
      const result = await holdfast(['run', target, '--', 'sh', '-c', script]);
      expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
      const text = readFileSync(path.join(directory, '.target.lock'), 'latin1');
      expect(text).not.toContain('xxx');
      const next = await tryLock(target);
      expect(next).not.toBeNull();
      await next?.release();
    });
  },
);

test('holdfast run suggests a value that the option takes when it begins with a dash', async () => {
  const first = await holdfast(['run', '-w', '-5s', 'file', '--', 'true']);
  expect(first).toMatchObject({ code: 64, signal: null });
  const hint = /write '([^']*)'/.exec(first.stderr)?.[1] ?? '';
  expect(hint).toBe('-w-5s');
  const second = await holdfast(['run', hint, 'file', '--', 'true']);
  expect(second.stderr).toContain("got '-5s'");
});
