import { readdirSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, tryLock } from 'holdfast';
import type { FileLock, LockOptions } from 'holdfast';
import { expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { kernelWaiters, until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** Hands `use` a target in a directory that this process knows, and another process. */
async function withOther(
  use: (target: string, other: ProcessAgent, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const other = await agents.process();
      await (await lock(path.join(directory, 'warm-up'))).release();
      await use(path.join(directory, 'file'), other, directory);
    }),
  );
}

/** Takes locks in turn, and notes who was granted one; each is released `after` milliseconds later. */
class Callers {
  readonly served: string[] = [];
  readonly #pending: Promise<void>[] = [];

  add(name: string, target: string | URL, options: LockOptions = {}): void {
    const serve = async (held: FileLock): Promise<void> => {
      this.served.push(name);
      await sleep(1);
      await held.release();
    };
    this.#pending.push(lock(target, options).then(serve));
  }

  async all(): Promise<void> {
    await within(
      Promise.all(this.#pending),
      () => `all callers; served: ${this.served.join(', ')}`,
    );
  }
}

test('a caller that comes when others wait is served after them', () =>
  withOther(async (target, other) => {
    const held = await other.lock(target);
    const callers = new Callers();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) callers.add(name, target);
    await held.release();
    // While they are served one after the other, more come, and the lock is free now and then.
    while (callers.served.length < 2) {
      const name = `late ${names.length}`;
      names.push(name);
      callers.add(name, target);
      await sleep(0);
    }
    await callers.all();
    expect(callers.served).toEqual(names);
  }));

test('a shared caller does not overtake an exclusive one that waits', () =>
  withOther(async (target, other) => {
    const held = await other.lock(target, { shared: true });
    const exclusive = await mustBlock(lock(target), 'an exclusive lock beside a shared one');
    const shared = await mustBlock(lock(target, { shared: true }), 'a shared lock behind it');
    // tryLock may: nobody is asked to wait for it.
    const overtaking = await tryLock(target, { shared: true });
    expect(overtaking?.held).toBe(true);
    await overtaking?.release();
    await held.release();
    const first = await exclusive();
    const second = await mustBlock(shared(), 'the shared lock while the exclusive one is held');
    await first.release();
    await (await second()).release();
  }));

test('the order holds from the first callers on, while their directory is touched', () =>
  withTemporaryDirectory((directory) =>
    withLockAgents(async (agents) => {
      const other = await agents.process();
      for (let round = 0; round < 20; round++) {
        const fresh = path.join(directory, `round-${round}`);
        await mkdir(fresh);
        const target = path.join(fresh, 'file');
        const held = await other.lock(target);
        const callers = new Callers();
        const names: string[] = [];
        for (let index = 0; index < 8; index++) {
          names.push(`${index}`);
          callers.add(`${index}`, target, { shared: index % 3 === 0 });
          // Some come while another thread looks at the directory, and some after it did.
          const until = performance.now() + (round % 5) * 0.1;
          while (performance.now() < until);
        }
        await held.release();
        await callers.all();
        expect(callers.served).toEqual(names);
      }
    }),
  ));

test.runIf(has('symlinks'))(
  'what is wrong with the first target in a directory is not told to those who ask for others',
  () =>
    withTemporaryDirectory(async (directory) => {
      const link = path.join(directory, 'link');
      await symlink('elsewhere', link);
      const file = path.join(directory, 'file');
      const outcomes = await Promise.allSettled([
        lock(link),
        lock(file),
        lock(link, { shared: true }),
        lock(path.join(directory, 'other'), { shared: true }),
      ]);
      const codes = outcomes.map((outcome) =>
        outcome.status === 'rejected' ? (outcome.reason as NodeJS.ErrnoException).code : 'granted',
      );
      expect(codes).toEqual(['ELOOP', 'granted', 'ELOOP', 'granted']);
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') await outcome.value.release();
      }
    }),
);

test('callers that spell the path in different ways stand in one queue', () =>
  withOther(async (target, other, directory) => {
    await writeFile(target, '');
    const linked: [string, string][] = [
      ['parent', `${directory}/alias/../${path.basename(directory)}/file`],
      ['through a link to the directory', path.join(directory, 'alias', 'file')],
    ];
    if (has('symlinks')) await symlink(directory, path.join(directory, 'alias'));
    const spellings: [string, string | URL, LockOptions?][] = [
      ['plain', target],
      ['dot', `${directory}/./file`],
      ...(has('symlinks') ? linked : []),
      ['relative', path.relative(process.cwd(), target)],
      ['URL', pathToFileURL(target)],
      ['by its lock file', path.join(directory, 'any'), { lockPath: `${directory}/.file.lock` }],
      ['doubled slash', `${directory}//file`],
    ];
    // Each directory has been touched, so that nobody is ahead for that reason.
    for (const [, spelling, options = {}] of spellings) {
      await (await lock(spelling, options)).release();
    }
    const held = await other.lock(target);
    const callers = new Callers();
    const names: string[] = [];
    for (const round of [1, 2]) {
      for (const [name, spelling, options] of spellings) {
        names.push(`${name} ${round}`);
        callers.add(`${name} ${round}`, spelling, options);
      }
    }
    await held.release();
    await callers.all();
    expect(callers.served).toEqual(names);
  }));

test.runIf(has('proc'))('a head that gives up leaves its place in the kernel to the next', () =>
  withOther(async (target, other, directory) => {
    const held = await other.lock(target);
    const lockPath = path.join(directory, '.file.lock');
    const controllers = Array.from({ length: 5 }, () => new AbortController());
    const callers = controllers.map(({ signal }) => lock(target, { signal }));
    await until(() => kernelWaiters(lockPath) === 1, 'the wait to reach the kernel');
    const threads = readdirSync('/proc/self/task');

    for (const [index, controller] of controllers.slice(0, 4).entries()) {
      controller.abort(new Error(`abort ${index}`));
      await expect(callers[index]).rejects.toThrow(`abort ${index}`);
      expect(kernelWaiters(lockPath)).toBe(1);
      expect(readdirSync('/proc/self/task')).toEqual(threads);
    }
    const last = await mustBlock(callers[4] as Promise<FileLock>, 'the last caller');
    await held.release();
    await (await last()).release();
  }),
);

test('a head that gives up lets shared callers behind it in at once', () =>
  withOther(async (target, other) => {
    const held = await other.lock(target, { shared: true });
    const controller = new AbortController();
    const exclusive = lock(target, { signal: controller.signal });
    const shared = [1, 2, 3].map(() => lock(target, { shared: true }));
    const behind = lock(target);
    const admitted = await mustBlock(Promise.all(shared), 'shared callers behind an exclusive one');
    controller.abort();
    await expect(exclusive).rejects.toMatchObject({ name: 'AbortError' });
    const locks = await admitted();
    const last = await mustBlock(behind, 'an exclusive caller behind shared ones');
    await held.release();
    await Promise.all(locks.map((one) => one.release()));
    await (await last()).release();
  }));

test('a caller in the middle that gives up changes nothing for the others', () =>
  withOther(async (target, other) => {
    const held = await other.lock(target);
    const callers = new Callers();
    const controller = new AbortController();
    callers.add('first', target);
    const given = [
      lock(target, { signal: controller.signal }),
      lock(target, { signal: controller.signal, shared: true }),
    ];
    callers.add('second', target, { shared: true });
    const last = lock(target, { signal: controller.signal });
    callers.add('third', target);
    controller.abort();
    for (const one of [...given, last]) {
      await expect(one).rejects.toMatchObject({ name: 'AbortError' });
    }
    await held.release();
    await callers.all();
    expect(callers.served).toEqual(['first', 'second', 'third']);
  }));

test('kernel waits of both modes follow the head of the queue', () =>
  withOther(async (target, other) => {
    const held = await other.lock(target);
    const controllers = Array.from({ length: 40 }, () => new AbortController());
    const callers = controllers.map(({ signal }, index) =>
      lock(target, { signal, shared: index % 2 === 1 }),
    );
    const outcomes = Promise.allSettled(callers);
    // Head after head gives up, each of the other mode than the one before.
    for (const controller of controllers.slice(0, 38)) {
      controller.abort();
      await sleep(Math.random());
    }
    await held.release();
    const exclusive = await within(callers[38] as Promise<FileLock>, 'the exclusive caller');
    const shared = await mustBlock(callers[39] as Promise<FileLock>, 'the shared one behind it');
    await exclusive.release();
    await (await shared()).release();
    const states = (await outcomes).map((outcome) => outcome.status);
    expect(states.filter((state) => state === 'fulfilled')).toHaveLength(2);
    expect(await other.tryLock(target)).not.toBeNull();
  }));
