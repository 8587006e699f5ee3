import { setTimeout as sleep } from 'node:timers/promises';

import { patience, within } from './bounded-wait.js';

/** How long a promise must stay pending to count as blocked, in milliseconds. */
const probation = 25;

/**
 * Asserts that `promise` is not settled after a few milliseconds, and hands back a function that waits for it.
 *
 * The assertion can only err towards passing: a slow machine makes a promise that should have settled look blocked,
 * never the reverse. So a test says what must block here and then proves, by the returned wait, that it goes on.
 *
 * ```ts
 * const granted = await mustBlock(lock(target), 'a second exclusive lock');
 * await first.release();
 * await (await granted()).release();
 * ```
 */
export async function mustBlock<T>(
  promise: Promise<T>,
  description: string,
): Promise<(timeout?: number) => Promise<T>> {
  const settled = promise.then(
    (value) => ({ outcome: 'was fulfilled', value }),
    (reason: unknown) => ({ outcome: 'was rejected', value: reason }),
  );
  const early = await Promise.race([settled, sleep(probation, null)]);
  if (early !== null) {
    throw new Error(`${description} must block, but ${early.outcome}`, { cause: early.value });
  }
  return (timeout = patience) => within(promise, description, timeout);
}
