import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

import { lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale, limitAtScale } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const listDescriptors = `
  const { readdirSync, readlinkSync } = require('node:fs');
  for (const name of readdirSync('/proc/self/fd')) {
    try { console.log(readlinkSync('/proc/self/fd/' + name)); } catch {}
  }`;

test.runIf(has('proc'))('a child has no descriptor of a lock file or its directory', async () => {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const agent = await agents.process();
      const target = path.join(directory, 'data');
      await agent.lock(`${target}-exclusive`);
      await agent.lock(`${target}-shared`, { shared: true });
      await agent.lockSync(`${target}-sync`);
      const held = await lock(`${target}-contended`);
      const granted = await mustBlock(agent.lock(`${target}-contended`), 'a lock that is held');

      const child = await agent.run(process.execPath, ['-e', listDescriptors]);
      expect(child).toMatchObject({ status: 0, stderr: '' });
      const descriptors = child.stdout.split('\n');
      // Its three pipes at least are there.
      expect(descriptors.length).toBeGreaterThan(3);
      expect(descriptors.filter((name) => name.startsWith(directory))).toEqual([]);
      await held.release();
      await granted();
    }),
  );
});

// On Windows a child ends with its parent, unless it is detached.
test.runIf(has('signals'))(
  'a lock is free when its process has ended, though a child of that lives on',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'data');
        const agent = await agents.process();
        await agent.lock(target);
        const child = await agent.start(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
        const granted = await mustBlock(lock(target), 'a lock that is held');
        agent.kill('SIGKILL');
        const held = await granted();
        expect(held.previousHolder).toMatchObject({ pid: agent.pid });
        // Throws when there is no such process.
        process.kill(child, 0);
        await held.release();
      }),
    );
  },
);

test('what a child does with locks, and its end, leave the lock of its parent alone', async () => {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const agent = await agents.process();
      const held = await agent.lock(target);
      const program = `
        const { lockSync, tryLockSync } = require('holdfast');
        const target = process.argv[1];
        console.log(tryLockSync(target));
        lockSync(target + '-other').releaseSync();
        lockSync(target + '-kept');`;
      const child = await agent.run(process.execPath, ['-e', program, target]);
      expect(child).toMatchObject({ status: 0, stdout: 'null\n', stderr: '' });
      expect(await tryLock(target)).toBeNull();
      await held.verify();
      await held.release();
      for (const name of [target, `${target}-other`, `${target}-kept`]) {
        await (await lock(name)).release();
      }
    }),
  );
});

test('closing another descriptor of the lock file in the same process does not drop the lock', async () => {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const other = await agents.process();
      const worker = await agents.worker();
      for (const shared of [false, true]) {
        const held = await lock(target, { shared });
        closeSync(openSync(held.lockPath, 'r+'));
        readFileSync(held.lockPath);
        // These open the lock file as well, and close it.
        if (!shared) expect(tryLockSync(target, { shared: true })).toBeNull();
        expect(await worker.tryLock(target)).toBeNull();
        await expect(lock(target, { timeout: 30 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
        if (shared) await (await lock(target, { shared })).release();

        expect(await other.tryLock(target)).toBeNull();
        held.verify();
        await held.release();
        await (await other.lock(target)).release();
      }
    }),
  );
});

test(
  'a lock is free as soon as it is released, though another thread is just starting a child',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      // Between fork() and exec() a child has all descriptors, those with O_CLOEXEC too.
      const started = path.join(directory, 'started');
      const program = `
        const { spawnSync } = require('node:child_process');
        const { writeFileSync } = require('node:fs');
        const { workerData: { started, command } } = require('node:worker_threads');
        for (;;) {
          spawnSync(command, ['-e', '0'], { stdio: 'ignore', timeout: 1 });
          writeFileSync(started, '');
        }`;
      const worker = new Worker(program, {
        eval: true,
        workerData: { started, command: process.execPath },
      });
      try {
        for (let round = 0; round < atScale(100_000, 3000) || !existsSync(started); round++) {
          lockSync(target).releaseSync();
          const again = tryLockSync(target);
          expect(again, `round ${round}`).not.toBeNull();
          again?.releaseSync();
        }
      } finally {
        await worker.terminate();
      }
    });
  },
  limitAtScale(120_000),
);
