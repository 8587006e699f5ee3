import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

import { HoldfastError, lock } from 'holdfast';
import { expect, test } from 'vitest';

import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('an error that a worker ends with has its code, its path and the holder in this thread, too', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { session: 's-1' });
    const code =
      'require(process.argv[2]).lock(process.argv[3], { timeout: 0 }).catch((error) => { throw error; })';
    const argv = [path.join(projectDirectory, 'dist', 'index.js'), target];
    const worker = new Worker(code, { eval: true, argv });
    const [error] = (await once(worker, 'error')) as [HoldfastError];
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toMatch(/^ETIMEDOUT: /);
    expect(error.message).toContain(target);
    expect(error).toMatchObject({
      ...{ name: 'HoldfastError', code: 'ETIMEDOUT', refused: false },
      holder: { pid: process.pid, session: 's-1' },
    });
    await worker.terminate();
    await held.release();
  }));

test('a message between threads keeps what an error says, as it does for any error of Node', async () => {
  const missing = path.join(projectDirectory, 'missing', 'data');
  const errors = [
    await lock(missing).catch((error: unknown) => error as Error),
    new HoldfastError('ELOOP', `refused to follow a link, open '${missing}'`, { path: missing }),
  ];
  for (const error of errors) {
    const copy = structuredClone(error) as Error;
    expect(copy).toBeInstanceOf(Error);
    expect(copy.message).toBe((error as Error).message);
    expect(copy.message).toMatch(/^(?:ENOENT|ELOOP): /);
    expect(copy.message).toContain('missing');
  }
});
