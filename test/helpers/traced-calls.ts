import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'vitest';

import { within } from './bounded-wait.js';
import type { Child, Children } from './child.js';

/** The n-th call of a name that its thread has made since the tracer came. */
export interface Call {
  name: string;
  occurrence: number;
  line: string;
  /** The name of its log. */
  thread: string;
}

/** What the engine does for itself: it depends on the moment, and nothing of the lock does on it. */
export const ofTheEngine =
  /^(brk|mmap|munmap|mprotect|madvise|futex|read|write|getpid|sched_yield|rt_sigprocmask|epoll_.*)$/;

export interface Tracing {
  faults?: readonly string[];
  /** Not the main thread alone; the first that comes to `point` is then the one that is killed there. */
  everyThread?: boolean;
}

/**
 * Lets strace watch `child` from now on, and kill it when it is about to make the call `point`. Hands back the calls, in the
 * order in which they began, when the child has ended.
 */
export async function traceCalls(
  children: Children,
  child: Child,
  log: string,
  point: Call | null,
  { faults = [], everyThread = false }: Tracing = {},
): Promise<() => Promise<Call[]>> {
  const injected = point
    ? [...faults, `${point.name}:signal=KILL:when=${point.occurrence}`]
    : faults;
  // With -ff each thread has a log of its own, in which no call is cut in two by another thread's.
  const tracer = children.spawn('strace', [
    ...['-p', `${child.pid}`, '-o', log, '-s', '64', '-ttt', ...(everyThread ? ['-ff'] : [])],
    ...injected.flatMap((fault) => ['-e', `inject=${fault}`]),
  ]);
  if (tracer.process.stderr === null) throw new TypeError('The tracer has no pipe to listen to');
  await within(once(tracer.process.stderr, 'data'), 'strace to attach');
  expect(tracer.stderr).toMatch(/attached/);
  return async () => {
    await tracer.waitForExit();
    const directory = path.dirname(log);
    const isLog = (name: string): boolean => name.split(/\.(?=\d+$)/)[0] === path.basename(log);
    const logs = (await readdir(directory)).filter(isLog);
    const threads = logs.map(async (name) =>
      parseTrace(name, await readFile(path.join(directory, name), 'utf8')),
    );
    return (await Promise.all(threads)).flat().sort((one, other) => one.at - other.at);
  };
}

/** The calls of one thread. */
function parseTrace(thread: string, log: string): (Call & { at: number })[] {
  const counts = new Map<string, number>();
  return log.split('\n').flatMap((timed) => {
    const [, at, line = '', name] = /^(\d+\.\d+) ((\w+)\(.*)/.exec(timed) ?? [];
    if (name === undefined) return [];
    const occurrence = (counts.get(name) ?? 0) + 1;
    counts.set(name, occurrence);
    return [{ at: Number(at), name, occurrence, line, thread }];
  });
}

/** Each point once: where two threads make a call of the same name and number, who comes first is killed at it. */
export function withoutRepeats(calls: Call[]): Call[] {
  const key = ({ name, occurrence }: Call): string => `${name} ${occurrence}`;
  return [...new Map(calls.toReversed().map((call) => [key(call), call])).values()].toReversed();
}

/** The calls from the first to the last mark, the marks included. */
export function betweenMarks(calls: Call[]): Call[] {
  const at = (mark: string) =>
    calls.findIndex(({ line }) => line.includes(`holdfast-mark-${mark}`));
  expect(at('begin')).toBeGreaterThanOrEqual(0);
  expect(at('end')).toBeGreaterThan(at('begin'));
  return calls.slice(at('begin'), at('end') + 1);
}
