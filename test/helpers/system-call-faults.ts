import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { until } from './process-figures.js';
import type { Children } from './child.js';

/** A system call of a traced process. */
export interface SystemCall {
  /** The id of its thread. */
  thread: number;
  name: string;
  /** It is the n-th of this name in its thread, from 1 on. */
  occurrence: number;
  /** Whether it was not really made, or late. */
  injected: boolean;
  line: string;
}

/** The system calls by which files are replaced; what the engine does for itself has other names. */
export const fileCalls = [
  ...['openat', 'openat2', 'newfstatat', 'fstat', 'statx', 'mkdirat', 'chmod', 'fchmod', 'fchown'],
  ...['fallocate', 'pwrite64', 'pread64', 'ftruncate', 'fsync', 'fdatasync', 'flock', 'linkat'],
  ...[
    'renameat',
    'renameat2',
    'unlinkat',
    'rename',
    'unlink',
    'fgetxattr',
    'fsetxattr',
    'flistxattr',
    'readlinkat',
  ],
  'getdents64',
];

/** The calls that were to fail were not made. */
export class FaultNotReached extends Error {
  constructor(
    faults: readonly string[],
    /** What was done without a fault came to this. */
    readonly value: unknown,
  ) {
    super(`None of the faults ${faults.join(' ')} happened`);
  }
}

/**
 * Runs `use` while strace watches the `fileCalls` of process `pid`, in all its threads, and makes them fail as `faults`
 * say: `pwrite64:error=EIO:when=3` is the third one of a thread, and `pwrite64:signal=KILL` ends the process before its
 * first. Rejects with a `FaultNotReached` if there are faults and none of them happened.
 */
export async function withFaults<T>(
  children: Children,
  pid: number,
  faults: readonly string[],
  use: () => Promise<T>,
): Promise<{ value: T; calls: SystemCall[] }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-strace-'));
  try {
    const log = path.join(directory, 'log');
    const tracer = children.spawn('strace', [
      ...['-f', '-p', `${pid}`, '-o', log, '-s', '32', '-e', 'signal=none'],
      ...['-e', `trace=${[...fileCalls, ...callsOf(faults)].map((name) => `?${name}`).join(',')}`],
      ...faults.flatMap((fault) => ['-e', `inject=${fault}`]),
    ]);
    await until(
      () => tracer.stderr.includes('attached'),
      () => `strace to attach: ${tracer.stderr}`,
    );
    const value = await use();
    tracer.kill('SIGINT');
    await tracer.waitForExit();
    const calls = parse(await readFile(log, 'utf8'));
    if (faults.length > 0 && !calls.some(({ injected }) => injected)) {
      throw new FaultNotReached(faults, value);
    }
    return { value, calls };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The calls that are to fail; some may be none of the `fileCalls`. */
function callsOf(faults: readonly string[]): string[] {
  return faults.flatMap((fault) => fault.replace(/:.*/, '').split(','));
}

/**
 * Runs `run` until it makes the same system calls twice in a row, and gives the last of them: now and then the engine
 * makes one of its own, after which the calls of the next run do not count the same.
 */
export async function withSteadyCalls<T extends { calls: SystemCall[] }>(
  run: () => Promise<T>,
): Promise<T> {
  let before = '';
  for (let runs = 0; runs < 20; runs++) {
    const result = await run();
    const now = namesByThread(result.calls);
    if (now === before) return result;
    before = now;
  }
  throw new Error(`No two runs made the same system calls; the last one: ${before}`);
}

/** The names of the calls of each thread in turn; which thread it was makes no difference. */
function namesByThread(calls: readonly SystemCall[]): string {
  const names = new Map<number, string>();
  for (const { thread, name } of calls) names.set(thread, `${names.get(thread) ?? ''} ${name}`);
  return [...names.values()].sort().join(',');
}

function parse(log: string): SystemCall[] {
  const counts = new Map<string, number>();
  const calls: SystemCall[] = [];
  for (const line of log.split('\n')) {
    const [, thread, resumed, end, name] =
      /^(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\()/.exec(line) ?? [];
    if (resumed !== undefined) {
      // What happened in other threads stands between the two halves of a call.
      const call = calls.findLast((one) => `${one.thread}` === thread && one.name === resumed);
      if (call) call.line = call.line.replace('<unfinished ...>', end ?? '');
    } else if (thread !== undefined && name !== undefined) {
      const key = `${thread} ${name}`;
      const occurrence = (counts.get(key) ?? 0) + 1;
      counts.set(key, occurrence);
      calls.push({ thread: Number(thread), name, occurrence, injected: false, line });
    }
  }
  // One at which the process was killed has no result.
  const injected = /\((INJECTED|DELAYED)\)| = \?$|<unfinished \.\.\.>$/;
  return calls.map((call) => ({ ...call, injected: injected.test(call.line) }));
}
