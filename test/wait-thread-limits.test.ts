import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { fixturesDirectory } from './helpers/paths.js';
import { kernelWaiters, threadCount, until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test.runIf(has('compiler', 'proc')).each([16, 64, 112, 120, 128, 160, 512])(
  'lock waits in a thread of its own when libraries have %d KiB of static thread-local storage',
  async (kilobytes) => {
    await withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const library = path.join(directory, 'static-storage.so');
        const source = path.join(fixturesDirectory, 'static-storage.c');
        const define = `-DSTORAGE=${kilobytes * 1024}`;
        const compiled = await run('cc', ['-shared', '-fPIC', define, '-o', library, source]);
        expect(compiled).toMatchObject({ code: 0, stderr: '' });
        const holder = await agents.process();
        const waiter = await agents.process({ env: { LD_PRELOAD: library } });
        const target = path.join(directory, 'file');
        const held = await holder.lock(target);
        const waiting = waiter.lock(target);
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait in the kernel');
        await held.release();
        await (await waiting).release();
      }),
    );
  },
);

test.runIf(has('proc', 'flockCommand'))(
  'signals that a fault raises stay unblocked in a thread that waits',
  async () => {
    await withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
        const target = path.join(directory, 'file');
        const held = await holder.lock(target);
        const before = new Set(readdirSync(`/proc/${waiter.pid}/task`));
        const waiting = waiter.lock(target);
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait in the kernel');
        const ours = readdirSync(`/proc/${waiter.pid}/task`).filter((id) => !before.has(id));
        expect(ours).toHaveLength(1);
        const status = readFileSync(`/proc/${waiter.pid}/task/${ours[0]}/status`, 'utf8');
        const blocked = BigInt(`0x${/^SigBlk:\s+([0-9a-f]+)$/m.exec(status)?.[1]}`);
        const isBlocked = (signal: number) => (blocked & (1n << BigInt(signal - 1))) !== 0n;
        const faults = { SIGILL: 4, SIGTRAP: 5, SIGBUS: 7, SIGFPE: 8, SIGSEGV: 11, SIGSYS: 31 };
        for (const [name, number] of Object.entries(faults)) {
          expect(`${name} ${isBlocked(number)}`).toBe(`${name} false`);
        }
        const others = { SIGHUP: 1, SIGINT: 2, SIGUSR1: 10, SIGALRM: 14, SIGTERM: 15, SIGCHLD: 17 };
        for (const [name, number] of Object.entries(others)) {
          expect(`${name} ${isBlocked(number)}`).toBe(`${name} true`);
        }
        await held.release();
        await (await waiting).release();
      }),
    );
  },
);

test.runIf(has('proc', 'prlimit'))(
  'a wait that is cancelled ends when no signal can be queued (RLIMIT_SIGPENDING)',
  async () => {
    await withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const holder = await agents.process();
        const waiter = await agents.process({ prefix: ['prlimit', '--sigpending=0'] });
        const target = path.join(directory, 'file');
        const held = await holder.lock(target);
        const before = threadCount(waiter.pid);
        const waits = [200, 200, 200].map((timeout) => waiter.lock(target, { timeout }));
        for (const wait of waits) await expect(wait).rejects.toMatchObject({ code: 'ETIMEDOUT' });
        expect(kernelWaiters(held.lockPath)).toBe(0);
        // Two stay for the next wait.
        await until(() => threadCount(waiter.pid) <= before + 2, 'the threads to end');
        const waiting = waiter.lock(target);
        await held.release();
        await (await waiting).release();
        await waiter.exit(0);
      }),
    );
  },
);

test.runIf(has('flockCommand'))(
  'the event loop turns while a guard is held and 200 locks are waited for',
  async () => {
    await withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
        const targets = Array.from({ length: 200 }, (_, at) => path.join(directory, `file-${at}`));
        const held = await Promise.all(targets.map((target) => holder.lock(target)));
        // The record names a ttl, so that the next grant needs the guard; and that exists from the second grant on.
        const guarded = path.join(directory, 'guarded');
        for (let grants = 0; grants < 2; grants++) {
          await (await holder.lock(guarded, { ttl: 60_000 })).release();
        }
        const waits = targets.map((target) => waiter.lock(target));
        await waiter.umask(); // answered after the waits have begun
        const guard = path.join(directory, '.guarded.lock.guard');
        const guardian = agents.children.spawn('flock', [
          '-x',
          guard,
          'sh',
          '-c',
          'echo held; cat',
        ]);
        await guardian.waitForOutput(/held/);

        const states = { granted: false };
        const waiting = waiter.lock(guarded).then((lock) => {
          states.granted = true;
          return lock;
        });
        // Each is answered by the event loop; what waits for the guard does so for as long as that is held.
        for (let answers = 0; answers < 50; answers++) {
          await within(waiter.umask(), 'an answer of the waiting process');
        }
        expect(states.granted).toBe(false);
        guardian.process.stdin?.end();
        await (await waiting).release();
        await Promise.all(held.map((lock) => lock.release()));
        await Promise.all(waits.map(async (wait) => (await wait).release()));
      }),
    );
  },
);
