// Whatever ends a holder, ours get its lock at once; and what can be cleaned up is, so that processes on proper-lockfile do.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

import { check, lock } from 'holdfast/proper-lockfile';
import { expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withLockfileAgents } from '../helpers/lockfile-agent.js';
import { namesIn, withLockfileTarget } from '../helpers/lockfile-target.js';
import { projectDirectory } from '../helpers/paths.js';

const ends = [
  { end: 'process.exit()', command: 'exit', args: [7], code: 7 },
  { end: 'an error that nobody catches', command: 'throw', args: [], code: 1 },
  { end: 'no more work', command: 'fallOff', args: [], code: 0 },
];

test.for(ends)(
  '$end leaves nothing, and a held lock does not put it off',
  ({ command, args, code }) =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ place, file }) => {
        const holder = await start('ours');
        await holder.lock(file);
        await holder.lockSync(`${file}-sync`, { realpath: false });
        await holder.call(command, ...args);
        expect(await holder.child.waitForExit()).toEqual({ code, signal: null });
        expect(namesIn(place)).toEqual(['file']);
      }),
    ),
);

test.runIf(has('signals')).for(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const)(
  '%s leaves nothing, and ends the process as it always does',
  (signal) =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ place, file }) => {
        const holder = await start('ours');
        await holder.lock(file);
        expect(await holder.end(signal)).toEqual({ code: null, signal });
        expect(namesIn(place)).toEqual(['file']);
      }),
    ),
);

test.runIf(has('signals'))('a program that listens to a signal goes on with its lock', () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ file, lockfile }) => {
      const holder = await start('ours');
      await holder.call('listen', 'SIGTERM');
      const number = await holder.lock(file);
      for (let times = 0; times < 2; times++) {
        holder.child.kill('SIGTERM');
        await holder.child.waitForMessage('SIGTERM');
        expect(existsSync(lockfile)).toBe(true);
        expect(await check(file)).toBe(true);
      }
      await holder.release(number);
    }),
  ),
);

test.runIf(has('signals')).for(['before', 'after'])(
  'signal-exit, loaded %s the lock is taken, still ends the process',
  (when) =>
    withLockfileAgents((start) =>
      withLockfileTarget(async ({ file }) => {
        const signalExit = createRequire(
          createRequire(import.meta.url).resolve('proper-lockfile'),
        ).resolve('signal-exit');
        const holder = await start('ours');
        if (when === 'before') await holder.call('onExit', signalExit);
        await holder.lock(file);
        if (when === 'after') await holder.call('onExit', signalExit);
        expect(await holder.end('SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' });
        expect(await check(file)).toBe(false);
        await (
          await lock(file)
        )();
      }),
    ),
);

test('a killed holder is no holder any more: ours have its lock at once', () =>
  withLockfileAgents((start) =>
    withLockfileTarget(async ({ place, file, lockfile }) => {
      const holder = await start('ours');
      await holder.lock(file);
      expect(await check(file)).toBe(true);
      await holder.end('SIGKILL');
      expect(existsSync(lockfile)).toBe(true);
      if (has('birthTimes')) expect(await check(file)).toBe(false);
      // Without a word in the record, which directory it was, there is the age alone.
      const patience = has('birthTimes') ? {} : { stale: 2000, timeout: 20_000 };
      const release = await lock(file, patience);
      expect(await check(file)).toBe(true);
      await release();
      expect(namesIn(place)).toEqual(['file']);
    }),
  ));

test('a worker that is terminated leaves nothing', () =>
  withLockfileTarget(async ({ place, file }) => {
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
      const lockfile = require(workerData.module);
      lockfile.lock(workerData.file).then(async () => {
        const busy = await lockfile.lock(workerData.file).catch(({ code }) => code);
        parentPort.postMessage(busy);
        for (;;);
      });`,
      {
        eval: true,
        execArgv: [],
        workerData: { file, module: `${projectDirectory}dist/proper-lockfile/index.js` },
      },
    );
    const busy = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(busy).toBe('ELOCKED');
    await expect(lock(file)).rejects.toMatchObject({ code: 'ELOCKED' });
    expect(readdirSync(place).sort()).toEqual(['.file.lock', 'file', 'file.lock']);
    await worker.terminate();
    expect(namesIn(place)).toEqual(['file']);
    await (
      await lock(file)
    )();
  }));
