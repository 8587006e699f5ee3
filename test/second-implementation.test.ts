/** A program that knows docs/protocol.md only, and this package: they exclude, follow and replace each other. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { native, RecordState } from '../src/native.js';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child, Children } from './helpers/child.js';
import { hang } from './helpers/hung-holder.js';
import { mustBlock } from './helpers/must-block.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { fixturesDirectory, projectDirectory } from './helpers/paths.js';
import { recordSize } from './helpers/record.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test('the record in docs/protocol.md is one', () => {
  const page = readFileSync(path.join(projectDirectory, 'docs', 'protocol.md'), 'utf8');
  const [, lines = ''] = /^```\n(holdfast lock 1\n.*?)```$/ms.exec(page) ?? [];
  const block = Buffer.alloc(recordSize, ' ');
  block.write(lines, 'latin1');
  block[recordSize - 1] = 0x0a;
  expect(native.parseRecord(block, recordSize)).toEqual({
    state: RecordState.valid,
    sessionRejected: false,
    pid: 4711,
    host: 'build-3',
    startToken: '6a1fd4c3-52a8-4c6c-9d0e-0d1f6a3f5c11:4026531836:4026531834:88431',
    sessionId: 'nightly_7',
    sessionHash: '3cef01201ce33b2ce68df918268d3d3c64e928af9df454b1afe96ecedad6a386',
    acquiredAt: 1_763_696_101_234,
    token: 1_763_696_101_234_567,
    ttl: 30_000,
    epoch: 0,
  });
});

interface Granted {
  token: number | null;
  previous: { pid: number } | null;
  took_over: boolean;
}

const patient = ['--timeout', '60000'];
/** Long enough for a slow machine to give its signs of life in time. */
const ttl = 2000;

/** The other program, and what it has answered so far. */
class Other {
  readonly #child: Child;
  #answers = 0;

  constructor(children: Children, target: string, options: string[]) {
    const program = path.join(fixturesDirectory, 'second-implementation.py');
    this.#child = children.spawn('python3', [program, ...options, target]);
  }

  get child(): Child {
    return this.#child;
  }

  async answer(): Promise<Record<string, unknown>> {
    const count = ++this.#answers;
    await this.#child.waitForOutput(new RegExp(`(.*\n){${count}}`));
    return JSON.parse(this.#child.stdout.split('\n')[count - 1] ?? '') as Record<string, unknown>;
  }

  async granted(): Promise<Granted> {
    const answer = await this.answer();
    expect(answer).toHaveProperty('granted');
    return answer.granted as Granted;
  }

  ask(command: 'check' | 'publish' | 'release'): Promise<Record<string, unknown>> {
    this.#child.process.stdin?.write(`${command}\n`);
    return this.answer();
  }

  async release(): Promise<void> {
    expect(await this.ask('release')).toEqual({ released: true });
    expect(await this.#child.waitForExit()).toEqual({ code: 0, signal: null });
  }
}

async function withOther(
  use: (start: (...options: string[]) => Other, target: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withChildren(async (children) => {
      const target = path.join(directory, 'file');
      writeFileSync(target, 'old');
      await use((...options) => new Other(children, target, options), target, directory);
    }),
  );
}

describe.runIf(has('python') && has('unnamedFiles') && has('signals'))(
  'beside this package',
  () => {
    test.each([
      ['exclusive', 'exclusive'],
      ['exclusive', 'shared'],
      ['shared', 'exclusive'],
      ['shared', 'shared'],
    ])('holding (%s) when we ask (%s), and the other way round', async (theirs, ours) => {
      await withOther(async (start, target) => {
        const mode = theirs === 'shared' ? ['--shared'] : [];
        const options = { shared: ours === 'shared' };
        const holder = start(...mode);
        await holder.granted();
        if (theirs === 'shared' && ours === 'shared') {
          await (await lock(target, options)).release();
          await holder.release();
        } else {
          expect(await tryLock(target, options)).toBeNull();
          const granted = await mustBlock(lock(target, options), 'lock');
          await holder.release();
          const held = await granted();
          expect(held.previousHolder).toBeNull();
          expect(await start(...mode).answer()).toHaveProperty('busy');
          const waiter = start(...mode, ...patient);
          const grantedToThem = await mustBlock(waiter.granted(), 'the second implementation');
          await held.release();
          expect((await grantedToThem()).previous).toBeNull();
          await waiter.release();
        }
      });
    });

    test('tokens go on from each other, and either is told of the other’s sudden end', async () => {
      await withOther(async (start, target) => {
        const first = await lock(target);
        await first.release();
        const other = start();
        expect(await other.granted()).toMatchObject({
          token: Number(first.token) + 1,
          previous: null,
        });
        other.child.process.kill('SIGKILL');
        await other.child.waitForExit();
        const second = await lock(target);
        expect(second.token).toBe(Number(first.token) + 2);
        expect(second.previousHolder).toMatchObject({ pid: other.child.process.pid });
        await second.release();

        await withLockAgents(async (agents) => {
          const agent = await agents.process();
          const { token } = await agent.lock(target);
          agent.kill('SIGKILL');
          const next = start(...patient);
          expect(await next.granted()).toMatchObject({
            token: Number(token) + 1,
            previous: { pid: agent.pid },
          });
          await next.release();
        });
      });
    });

    test('it takes over from a holder of ours that hangs, which finds out', async () => {
      await withOther(async (start, target, directory) => {
        await withLockAgents(async (agents) => {
          const agent = await agents.process();
          const held = await agent.lock(target, { ttl });
          const patientOther = start(...patient);
          const granted = await mustBlock(
            patientOther.granted(),
            'a holder that gives signs of life',
          );
          const resume = await hang(agent, directory);
          const { token, took_over } = await granted();
          expect({ token, took_over }).toEqual({ token: Number(held.token) + 1, took_over: true });
          resume();
          await expect(held.verify()).rejects.toMatchObject({ code: 'ECOMPROMISED' });
          expect(await patientOther.ask('check')).toEqual({ held: true });
          await held.release();
          await patientOther.release();
        });
      });
    });

    test.each([false, true])(
      'we take over from it when it hangs, and its late write does not land (shared: %s)',
      async (shared) => {
        await withOther(async (start, target) => {
          const other = start('--ttl', String(ttl));
          const { token } = await other.granted();
          const granted = await mustBlock(
            lock(target, { shared }),
            'a holder that gives signs of life',
          );
          other.child.process.kill('SIGSTOP');
          const held = await granted();
          if (!shared) expect(held.token).toBe(Number(token) + 1);
          other.child.process.kill('SIGCONT');
          expect(await other.ask('publish')).toEqual({ published: false });
          expect(readFileSync(target, 'utf8')).toBe('old');
          expect(await other.ask('check')).toEqual({ held: false });
          held.verify();
          await other.release();
          held.verify();
          await held.release();
        });
      },
    );
  },
);
