import { once } from 'node:events';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { inspectLock, lock, tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, withChildren } from './helpers/child.js';
import { commandFile } from './helpers/command-line.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { fixturesDirectory } from './helpers/paths.js';
import { ownPidNamespace } from './helpers/pid-namespace.js';
import { until } from './helpers/process-figures.js';
import { deadHolder, recordOf } from './helpers/record.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('a lock that nobody ever took is free, and looking leaves nothing behind', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    expect(await inspectLock(target)).toMatchObject({
      target,
      lockPath: path.join(directory, '.data.lock'),
      state: 'free',
      shared: null,
      holder: null,
      previousHolder: null,
      ttl: null,
      liveness: 'unknown',
      pids: [],
      inheritedBy: [],
      malformed: false,
    });
    expect(await readdir(directory)).toEqual([]);
  }));

test.runIf(has('sameStartTime'))('state and holder are right before, during and after', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { session: 'nightly' });
    expect(await inspectLock(target)).toMatchObject({
      state: 'held',
      shared: false,
      holder: { pid: process.pid, session: 'nightly', token: held.token, self: true },
      liveness: 'alive',
    });
    await held.release();
    expect(await inspectLock(target)).toMatchObject({ state: 'free', holder: null });

    const shared = await lock(target, { shared: true });
    expect(await inspectLock(target)).toMatchObject({ state: 'held', shared: true, holder: null });
    await shared.release();
  }),
);

test('the ttl is that of the holder, and nobody’s when it has released', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { ttl: 30_000 });
    expect(await inspectLock(target)).toMatchObject({ state: 'held', ttl: 30_000 });
    await held.release();
    expect(await inspectLock(target)).toMatchObject({ state: 'free', ttl: null });
    const next = await lock(target);
    expect(await inspectLock(target)).toMatchObject({ state: 'held', ttl: null });
    await next.release();
  }));

test.runIf(has('proc'))('the kernel names the processes that hold the lock', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const first = await lock(target, { shared: true });
    const second = await lock(target, { shared: true });
    expect((await inspectLock(target)).pids).toEqual([process.pid, process.pid]);
    await first.release();
    await second.release();
  }),
);

test.runIf(has('sameStartTime'))('a holder that was killed is the previous one, and dead', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const target = path.join(directory, 'data');
      const agent = await agents.process();
      await agent.lock(target, { session: 'nightly' });
      expect(await inspectLock(target)).toMatchObject({
        ...{ state: 'held', holder: { pid: agent.pid, self: false }, previousHolder: null },
        ...{ liveness: 'alive', inheritedBy: [] },
      });
      agent.kill('SIGKILL');
      await agent.waitForExit();
      expect(await inspectLock(target)).toMatchObject({
        ...{ state: 'free', holder: null, liveness: 'dead', pids: [], inheritedBy: [] },
        previousHolder: { pid: agent.pid, session: 'nightly' },
      });
    }),
  ),
);

const idle = ['-e', 'process.stdin.resume()'];

test.runIf(has('proc', 'signals', 'sameStartTime'))(
  'who inherited the lock from a holder that was killed is named, and then nobody',
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'data');
        const child = children.spawnNode([
          ...[commandFile, 'run', target, '--'],
          ...[process.execPath, path.join(fixturesDirectory, 'foreground-command.cjs')],
        ]);
        const [, heir = ''] = await child.waitForOutput(/ready (\d+)/);
        expect(await inspectLock(target)).toMatchObject({ liveness: 'alive', inheritedBy: [] });
        // Not the end of its output, which the command keeps open.
        const exited = once(child.process, 'exit');
        child.kill('SIGKILL');
        await exited;
        expect(await inspectLock(target)).toMatchObject({
          ...{ state: 'held', shared: false, holder: { pid: child.pid }, previousHolder: null },
          ...{ liveness: 'dead', pids: [child.pid], inheritedBy: [Number(heir)] },
        });
        expect(await tryLock(target)).toBeNull();
        process.kill(Number(heir), 'SIGKILL');
        const held = await lock(target, { timeout: 20_000 });
        expect(held.previousHolder).toMatchObject({ pid: child.pid });
        await held.release();
      }),
    ),
);

test.runIf(has('proc', 'flockCommand'))(
  'a holder without a name is not taken for the one whom the lock file still names',
  () =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'data');
        const agent = await agents.process();
        const { lockPath } = await agent.lock(target);
        agent.kill('SIGKILL');
        await agent.waitForExit();
        const flock = agents.children.spawn('flock', [lockPath, process.execPath, ...idle]);
        await until(
          async () => (await inspectLock(target)).state === 'held',
          () => `flock(1) to take the lock: ${flock.stderr}`,
        );
        expect(await inspectLock(target)).toMatchObject({
          ...{ holder: null, previousHolder: { pid: agent.pid }, liveness: 'dead' },
          ...{ pids: [flock.pid], inheritedBy: [] },
        });
      }),
    ),
);

test.runIf(has('sameStartTime'))(
  'of a holder on another machine, or with another start, it is not said that it is alive',
  () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const held = await lock(target);
      const own = (await readFile(held.lockPath, 'latin1')).split('\n');
      const startToken = own.find((line) => line.startsWith('start_token='))?.slice(12) ?? '';
      const seen = async (start_token: string | undefined) => {
        const fields = { ...deadHolder, pid: process.pid, host: 'somewhere', start_token };
        await writeFile(held.lockPath, recordOf(fields));
        return inspectLock(target);
      };
      expect(await seen('another-boot:1:2:3')).toMatchObject({ liveness: 'unknown' });
      expect(await seen(undefined)).toMatchObject({ liveness: 'unknown', holder: { self: false } });
      // The pid is that of a process which is there, and which is not the one that wrote the record.
      expect(await seen(startToken.replace(/\d+$/, '1'))).toMatchObject({ liveness: 'dead' });
      expect(await seen(startToken)).toMatchObject({ liveness: 'alive', holder: { self: true } });
      await held.release();
    }),
);

test.runIf(has('pidNamespaces', 'proc'))(
  'of a holder in another pid namespace it is unknown whether it lives, seen from either side',
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'data');
        const command = [process.execPath, commandFile];
        const inside = children.spawn('unshare', [
          ...[...ownPidNamespace, ...command, 'run', target, '--'],
          ...[process.execPath, path.join(fixturesDirectory, 'foreground-command.cjs')],
        ]);
        await inside.waitForOutput(/ready/);
        const seen = await inspectLock(target);
        expect(seen).toMatchObject({
          ...{ state: 'held', previousHolder: null, liveness: 'unknown', inheritedBy: [] },
        });
        // The record has the process id of the namespace, the kernel tells ours.
        expect(seen.pids).not.toEqual([seen.holder?.pid]);
        expect(seen.pids).toHaveLength(1);

        const own = path.join(directory, 'own');
        const held = await lock(own);
        const who = await run('unshare', [...ownPidNamespace, ...command, 'who', '--json', own]);
        expect(JSON.parse(who.stdout)).toMatchObject({
          ...{ state: 'held', holder: { pid: process.pid }, liveness: 'unknown', pids: [] },
        });
        await held.release();
      }),
    ),
);

test.runIf(has('flockCommand'))('a holder that is not holdfast is seen, too', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    await held.release();
    const script = `require('holdfast').inspectLock(process.argv[1]).then((seen) => console.log(seen.state, seen.holder))`;
    const outcome = await run('flock', [held.lockPath, process.execPath, '-e', script, target]);
    expect(outcome).toMatchObject({ code: 0, signal: null, stdout: 'held null\n' });
  }),
);

test('a look neither takes nor changes anything', () =>
  withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target);
    const bytes = await readFile(held.lockPath);
    const before = await stat(held.lockPath);
    await Promise.all(Array.from({ length: 100 }, () => inspectLock(target)));
    held.verify();
    expect(await readFile(held.lockPath)).toEqual(bytes);
    expect((await stat(held.lockPath)).mtimeMs).toBe(before.mtimeMs);
    expect(await tryLock(target)).toBeNull();
    await held.release();
  }));
