import { setTimeout as sleep } from 'node:timers/promises';
import { ReplaceStep } from './native.js';

/** Milliseconds before each further try; the last one goes on. */
const delays = [1, 2, 5, 10, 20, 50, 100];

/** The tries of one commit: how many there were, and how long is to be waited for the next. */
export class Retries {
  attempts = 1;
  waitedMs = 0;
  #budget: number;
  readonly #longestDelay: number;

  /** Milliseconds of waiting in all, and before one try. */
  constructor(budget: number, longestDelay = Infinity) {
    this.#budget = budget;
    this.#longestDelay = longestDelay;
  }

  get exhausted(): boolean {
    return this.waitedMs >= this.#budget;
  }

  /** The next try is the last one. */
  giveUp(): void {
    this.#budget = this.waitedMs;
  }

  /** What the addon is to be told with the next try. */
  get flags(): number {
    return this.exhausted ? ReplaceStep.lastTry : 0;
  }

  /** Rejects with `signal.reason`. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    const started = performance.now();
    try {
      await sleep(this.#delay(), undefined, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
    this.#count(started);
  }

  waitSync(): void {
    const started = performance.now();
    sleepSync(this.#delay());
    this.#count(started);
  }

  /** With up to a half more at random, so that two who are in each other's way do not stay in step. */
  #delay(): number {
    const listed = delays[Math.min(this.attempts, delays.length) - 1] ?? 0;
    const delay = Math.min(listed, this.#longestDelay);
    return Math.min(delay * (1 + Math.random() / 2), this.#budget - this.waitedMs);
  }

  #count(started: number): void {
    this.attempts++;
    this.waitedMs += performance.now() - started;
  }
}

/** Blocks this thread. */
export function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
