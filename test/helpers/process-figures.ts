import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { patience } from './bounded-wait.js';

/** What /proc tells of a process; this one by default. For tests that ask for the capability `proc`. */
export type ProcessId = number | 'self';

export function threadCount(pid: ProcessId = 'self'): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

export function descriptorCount(pid: ProcessId = 'self'): number {
  // The listing itself has one open in this process.
  return readdirSync(`/proc/${pid}/fd`).length - (pid === 'self' ? 1 : 0);
}

/** Resident memory in bytes. */
export function residentMemory(pid: ProcessId = 'self'): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** Processor time used so far, in milliseconds, to a hundredth of a second. */
export function processorTime(pid: ProcessId = 'self'): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Fields count from the end of the program's name, which may hold anything: proc_pid_stat(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return ticks * 10;
}

/** Whether every thread of a process is stopped: for a moment after SIGSTOP some are not, and may still be granted a lock. */
export function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      return stat.charAt(stat.lastIndexOf(')') + 2) === 'T';
    } catch {
      return false; // it has just ended
    }
  });
}

/** How many threads, of all processes, the kernel lets wait for a lock on this file, as proc_locks(5) tells. */
export function kernelWaiters(file: string): number {
  const suffix = `:${statSync(file).ino} 0 EOF`;
  const lines = readFileSync('/proc/locks', 'utf8').split('\n');
  return lines.filter((line) => line.includes('-> FLOCK') && line.endsWith(suffix)).length;
}

/** Looks every few milliseconds until `condition` holds: for what nobody can send a message about. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  timeout: number = patience,
): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      const description = typeof what === 'string' ? what : what();
      throw new Error(`Waited ${timeout} ms in vain for ${description}`);
    }
    await sleep(5);
  }
}
