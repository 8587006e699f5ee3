/** A holder that named a ttl shows that its event loop turns, so that nobody takes it for hung. */
import { native, Outcome, whenDelivered } from './native.js';

/** Signs in the time after which a holder without one may be robbed: late ones and a failed one do no harm. */
const signsInTtl = 3;

export class SignsOfLife {
  readonly #id: number;
  readonly #ttl: number;
  readonly #remote: boolean;
  readonly #onSign: (outcome: Outcome) => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** By the clock that no step of the wall clock moves. */
  #lastSignAt: number;

  /**
   * `recordAge`: milliseconds since the record was written, which is the first sign; a thread may have done that while this
   * one was blocked. `onSign` is told what each sign came to: `granted`, `stale` when the lock is lost, or `failed`. It must not lead to the
   * lock object itself: that may be dropped while the lock stays held.
   */
  constructor(
    id: number,
    ttl: number,
    remote: boolean,
    recordAge: number,
    onSign: (outcome: Outcome) => void,
  ) {
    this.#id = id;
    this.#ttl = ttl;
    this.#remote = remote;
    this.#onSign = onSign;
    this.#lastSignAt = performance.now() - recordAge;
    this.#schedule();
  }

  /** Whether others may have taken the lock over since the last sign. */
  get isOverdue(): boolean {
    return performance.now() - this.#lastSignAt >= this.#ttl;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    // A held lock does not keep the process alive.
    this.#timer = setTimeout(() => {
      this.#show();
    }, this.#ttl / signsInTtl).unref();
  }

  #show(): void {
    const startedAt = performance.now();
    if (this.#remote) {
      whenDelivered(native.startShowLife(this.#id), (outcome) => {
        this.#conclude(outcome, startedAt);
      });
    } else {
      this.#conclude(native.showLife(this.#id), startedAt);
    }
  }

  #conclude(outcome: Outcome, startedAt: number): void {
    if (this.#stopped) return;
    if (outcome === Outcome.granted && this.isOverdue) {
      // Somebody may already have seen us silent for too long.
      whenDelivered(native.startShowLateLife(this.#id), (late) => {
        this.#accept(late, startedAt);
      });
    } else {
      this.#accept(outcome, startedAt);
    }
  }

  #accept(outcome: Outcome, startedAt: number): void {
    if (this.#stopped) return;
    this.#onSign(outcome);
    if (outcome === Outcome.stale) return;
    if (outcome === Outcome.granted) this.#lastSignAt = startedAt;
    this.#schedule();
  }
}
