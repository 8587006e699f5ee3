import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

import { expect } from 'vitest';

import { within } from './bounded-wait.js';
import type { Child, Children } from './child.js';

/** The n-th call of a name since the tracer came. */
export interface Call {
  name: string;
  occurrence: number;
  line: string;
}

/** What the engine does for itself: it depends on the moment, and nothing of the lock does on it. */
export const ofTheEngine =
  /^(brk|mmap|munmap|mprotect|madvise|futex|read|write|getpid|sched_yield|epoll_.*)$/;

/**
 * Lets strace watch the main thread of `child` from now on, and kill it when it is about to make the call `point`. Hands
 * back the calls when the child has ended.
 */
export async function traceCalls(
  children: Children,
  child: Child,
  log: string,
  point: Call | null,
  faults: readonly string[] = [],
): Promise<() => Promise<Call[]>> {
  const injected = point
    ? [...faults, `${point.name}:signal=KILL:when=${point.occurrence}`]
    : faults;
  // Without -f it sees the main thread alone.
  const tracer = children.spawn('strace', [
    ...['-p', `${child.pid}`, '-o', log, '-s', '64'],
    ...injected.flatMap((fault) => ['-e', `inject=${fault}`]),
  ]);
  if (tracer.process.stderr === null) throw new TypeError('The tracer has no pipe to listen to');
  await within(once(tracer.process.stderr, 'data'), 'strace to attach');
  expect(tracer.stderr).toMatch(/attached/);
  return async () => {
    await tracer.waitForExit();
    return parseTrace(await readFile(log, 'utf8'));
  };
}

function parseTrace(log: string): Call[] {
  const counts = new Map<string, number>();
  return log.split('\n').flatMap((line) => {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (name === undefined) return [];
    const occurrence = (counts.get(name) ?? 0) + 1;
    counts.set(name, occurrence);
    return [{ name, occurrence, line }];
  });
}

/** The calls from the first to the last mark, the marks included. */
export function betweenMarks(calls: Call[]): Call[] {
  const at = (mark: string) =>
    calls.findIndex(({ line }) => line.includes(`holdfast-mark-${mark}`));
  expect(at('begin')).toBeGreaterThanOrEqual(0);
  expect(at('end')).toBeGreaterThan(at('begin'));
  return calls.slice(at('begin'), at('end') + 1);
}
