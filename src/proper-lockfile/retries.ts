import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../errors.js';
import type { RetryOptions } from './options.js';

/** When an operation that failed is tried again: the delays of the package `retry`, which proper-lockfile goes by. */
export interface RetryDelays {
  delays: readonly number[];
  /** The last delay is repeated for ever. */
  forever: boolean;
  maxRetryTime: number;
  unref: boolean;
}

const longestTimer = 2 ** 31 - 1;

export function toRetryDelays(
  retries: number | RetryOptions | readonly number[] | null | undefined,
): RetryDelays {
  if (Array.isArray(retries)) {
    const delays = retries as readonly number[];
    return { delays, forever: false, maxRetryTime: Infinity, unref: false };
  }
  const options = typeof retries === 'object' ? ((retries ?? {}) as RetryOptions) : {};
  // An empty object has the defaults, of which one is to try again; everything falsy is none.
  const asked = typeof retries === 'object' && retries !== null ? (options.retries ?? 10) : retries;
  const count = asked || 0;
  const { factor = 2, minTimeout = 1000, maxTimeout = Infinity, randomize = false } = options;
  if (minTimeout > maxTimeout) throw new Error('minTimeout is greater than maxTimeout');
  const delayOf = (attempt: number): number => {
    const spread = randomize ? 1 + Math.random() : 1;
    return Math.min(Math.round(spread * Math.max(minTimeout, 1) * factor ** attempt), maxTimeout);
  };
  const forever = Boolean(options.forever) || count === Infinity;
  const finite = count === Infinity ? 0 : count;
  const delays = Array.from({ length: Math.ceil(finite) }, (_, attempt) => delayOf(attempt));
  if (forever && delays.length === 0) delays.push(delayOf(0));
  return {
    delays: delays.sort((a, b) => a - b),
    forever,
    maxRetryTime: options.maxRetryTime || Infinity,
    unref: Boolean(options.unref),
  };
}

/**
 * Calls `attempt` until it succeeds or the delays are used up; rejects with the error that was the most frequent one, as
 * `retry` does. Every failure is tried again, except a refusal.
 */
export async function withRetries<T>(
  { delays, forever, maxRetryTime, unref }: RetryDelays,
  attempt: () => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  const errors: Error[] = [];
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof HoldfastError && error.refused) throw error;
      // For ever is long: then only the last one counts.
      if (forever) errors.length = 0;
      errors.push(error as Error);
    }
    const delay = forever ? delays[Math.min(tries, delays.length - 1)] : delays[tries];
    const late = performance.now() - startedAt >= maxRetryTime;
    if (delay === undefined || late) throw mostFrequent(errors);
    await sleep(Math.min(delay, longestTimer), undefined, { ref: !unref });
  }
}

/** Of equally frequent ones the last. */
function mostFrequent(errors: readonly Error[]): Error {
  const counts = new Map<string, number>();
  let result = errors.at(-1) as Error;
  let most = 0;
  for (const error of errors) {
    const count = (counts.get(error.message) ?? 0) + 1;
    counts.set(error.message, count);
    if (count >= most) {
      most = count;
      result = error;
    }
  }
  return result;
}
