/** Whether locks exclude, and end with their holder: shown with another process, which is killed. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';

import { inspectLock, lock, tryLock } from '../index.js';
import type { HeldDirectory } from './doctor-directory.js';
import { failure, handOffText, untried } from './doctor-report.js';
import type { Finding } from './doctor-report.js';
import { programFile } from './program-file.js';

/** Milliseconds for each step, after which a file system counts as one that does not answer. */
const patience = 10_000;

/** Where the other process inherits the descriptor of the directory, after its own channel. */
const inheritedAs = 4;

export async function tryLocks(
  { path: directory, descriptor }: HeldDirectory,
  signal: AbortSignal,
): Promise<Finding[]> {
  const target = path.join(directory, 'lock');
  const theirs = descriptor === null ? target : `/proc/self/fd/${inheritedAs}/lock`;
  const holder = fork(programFile('doctor-holder'), [theirs, String(patience)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...(descriptor === null ? [] : [descriptor])],
  });
  try {
    await heldBy(holder, signal);
    const exclusion = await tryExclusion(target, holder.pid ?? -1);
    return [exclusion, await tryCrash(target, holder, signal)];
  } catch (error) {
    signal.throwIfAborted();
    return [failure('exclusion', error), untried('crash')];
  } finally {
    await end(holder);
  }
}

type Message =
  | { readonly name: 'held' }
  | { readonly name: 'failed'; readonly message: string; readonly code: string };

const ended: Message = {
  name: 'failed',
  message: 'the process that was to hold the lock has ended',
  code: 'ESRCH',
};

async function heldBy(holder: ChildProcess, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(2 * patience)]);
  const news = await Promise.race([
    once(holder, 'message', { signal: limit }).then(([message]) => message as Message),
    once(holder, 'exit', { signal: limit }).then(() => ended),
  ]);
  if (news.name === 'held') return;
  throw Object.assign(new Error(news.message), { code: news.code });
}

async function tryExclusion(target: string, pid: number): Promise<Finding> {
  const check = 'exclusion';
  for (const shared of [false, true]) {
    const second = await tryLock(target, { shared });
    if (second === null) continue;
    await second.release();
    const text = `this process got the lock${shared ? ', shared,' : ''} while another one held it`;
    return { check, result: 'no', text };
  }
  const { state } = await inspectLock(target);
  if (state === 'free') {
    return { check, result: 'no', text: `the system says that the lock of pid ${pid} is free` };
  }
  return { check, result: 'yes', text: 'while another process held the lock, nobody else got it' };
}

/** Waits for the lock and has its holder killed meanwhile. */
async function tryCrash(
  target: string,
  holder: ChildProcess,
  signal: AbortSignal,
): Promise<Finding> {
  const check = 'crash';
  const news = new EventEmitter();
  const next = lock(target, { timeout: patience, signal, onWait: () => news.emit('wait') });
  try {
    // Who gets it without a wait need not be waited for.
    await Promise.race([once(news, 'wait'), next]);
    const killedAt = performance.now();
    holder.kill('SIGKILL');
    const held = await next;
    const after = performance.now() - killedAt;
    await held.release();
    return { check, result: 'yes', text: handOffText(after, held.previousHolder !== null) };
  } catch (error) {
    signal.throwIfAborted();
    return failure(check, error);
  }
}

async function end(holder: ChildProcess): Promise<void> {
  if (holder.exitCode !== null || holder.signalCode !== null) return;
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
}
