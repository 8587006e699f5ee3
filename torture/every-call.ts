/** Lets every system call of something fail in turn, and keeps what came of it. */
import { tryLockSync } from 'holdfast';
import { expect } from 'vitest';

import type { Children } from '../test/helpers/child.js';
import { outcomeOf } from '../test/helpers/failing-replaces.js';
import { FaultNotReached, withFaults } from '../test/helpers/system-call-faults.js';
import type { SystemCall } from '../test/helpers/system-call-faults.js';
import { report } from './campaign.js';
import { seed } from './plan.js';
import { randomFrom } from './random.mjs';

const errnos = ['EIO', 'ENOSPC', 'EACCES', 'EMFILE', 'ENOMEM', 'EINTR', 'ENOLCK', 'EROFS'];

export interface Tried {
  name: string;
  /** The process whose calls fail. */
  pid: number;
  /** Comes before each attempt. */
  prepare: () => Promise<unknown>;
  run: () => Promise<unknown>;
  /** Looks at what an attempt has left, and names it; `value` is what `run` came to, be it an error. */
  outcome: (value: unknown, where: string) => Promise<string>;
}

/** Lets each system call that an attempt makes fail in turn, with one errno after the other, as long as there is time. */
export async function tryEveryCall(
  children: Children,
  milliseconds: number,
  { name, pid, prepare, run, outcome }: Tried,
): Promise<void> {
  const matrix = new Matrix(name);
  const attempt = async (faults: string[]) => {
    await prepare();
    return withFaults(children, pid, faults, () => outcomeOf(run()));
  };
  const unhindered = async () => {
    const result = await attempt([]);
    expect(result.value, `${name}, without a fault`).not.toBeInstanceOf(Error);
    await outcome(result.value, 'without a fault');
    return result;
  };
  // The first use of a directory makes other calls.
  await unhindered();
  const { calls } = await unhindered();
  const random = randomFrom(seed);
  const end = performance.now() + milliseconds;
  const points = shuffled(calls, random);
  const kinds = shuffled(errnos, random);
  for (let round = 0; round < errnos.length && performance.now() < end; round++) {
    for (const [index, call] of points.entries()) {
      if (performance.now() >= end) break;
      const errno = kinds[(index + round) % kinds.length] ?? 'EIO';
      const where = `${errno} at ${call.line}`;
      const fault = `${call.name}:error=${errno}:when=${call.occurrence}`;
      const result = await attempt([fault]).catch((error: unknown) => {
        // No two attempts need to make the same calls, or on the same threads, so that this one may not be reached.
        if (error instanceof FaultNotReached) return error;
        throw error;
      });
      const found = await outcome(result.value, where);
      if (!(result instanceof FaultNotReached)) matrix.add(call, found);
    }
  }
  matrix.report(calls);
}

export function expectCode(error: Error, where: string): void {
  expect(error, `${where}: ${error.message}`).toMatchObject({
    code: expect.stringMatching(/^E[A-Z]+$/) as unknown,
  });
}

export function expectFree(target: string, where: string): void {
  const free = tryLockSync(target);
  expect(free, `${where}: the lock is free`).not.toBeNull();
  free?.releaseSync();
}

function shuffled<T>(items: readonly T[], random: (limit: number) => number): T[] {
  return items
    .map((item) => ({ item, place: random(2 ** 31) }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item);
}

/** What came of each system call. */
class Matrix {
  readonly #outcomes = new Map<string, Map<string, number>>();

  constructor(private readonly operation: string) {}

  add({ name }: SystemCall, outcome: string): void {
    const counts = this.#outcomes.get(name) ?? new Map<string, number>();
    this.#outcomes.set(name, counts);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }

  report(calls: readonly SystemCall[]): void {
    for (const [call, counts] of [...this.#outcomes].sort(([one], [other]) =>
      one < other ? -1 : 1,
    )) {
      report('system call that fails', {
        operation: this.operation,
        call,
        occurrences: calls.filter(({ name }) => name === call).length,
        tried: [...counts.values()].reduce((sum, count) => sum + count, 0),
        outcomes: [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', '),
      });
    }
  }
}
