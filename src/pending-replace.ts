/** A replace on its way: its steps, which other threads make, or this one when it cannot wait for them. */
import { whenAborted } from './abort.js';
import { AsyncLocalStorage } from 'node:async_hooks';
import { HoldfastError } from './errors.js';
import type { OrderedReplace } from './replace-order.js';
import { enterOrder, leaveOrder, shareDestination } from './replace-order.js';

/** One step: either started, and awaited, or made on this thread, also after it was started. */
export interface Step<Result> {
  start(): Promise<Result>;
  finish(): Result;
  /** Whether code of the caller's runs in it. */
  readonly readsStream?: boolean;
}

export type Steps<Result> = Generator<Step<unknown>, Result, unknown>;

/** Makes a step. What takes its time may be aborted meanwhile, which then shows before the next step. */
export function* make<Result>(
  signal: AbortSignal | undefined,
  step: Step<Result>,
): Generator<Step<unknown>, Result, unknown> {
  signal?.throwIfAborted();
  return (yield step) as Result;
}

/** A step that this thread cannot make: a stream comes when it comes. */
export class CannotFinish extends Error {}

/** What the caller of a replace gave for it. */
interface Destination {
  path: string;
  follow: boolean;
  refuseParentLinks: boolean;
  signal: AbortSignal | undefined;
}

/** In the code of a stream: the replace that it is read for. */
const reading = new AsyncLocalStorage<OrderedReplace>();

export class PendingReplace<Result> implements OrderedReplace {
  readonly path: string;
  readonly follow: boolean;
  readonly refuseParentLinks: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #steps: Steps<Result>;
  /** What it comes to when a later one overtakes it that cannot wait; null: it goes on behind that one. */
  readonly #overtaken: Result | null;
  /** The step that is being made; null before the first and after the last. */
  #step: Step<unknown> | null = null;
  /** Whether the code between two steps runs. */
  #advancing = false;
  #outcome: { result: Result } | { error: unknown } | null = null;
  #isOver = false;
  #listeners: (() => void)[] | null = null;

  constructor(destination: Destination, steps: Steps<Result>, overtaken: Result | null) {
    this.path = destination.path;
    this.follow = destination.follow;
    this.refuseParentLinks = destination.refuseParentLinks;
    this.#signal = destination.signal;
    this.#steps = steps;
    this.#overtaken = overtaken;
  }

  /** Makes all steps, after those of the replaces that came before for the same destination. */
  async run(): Promise<Result> {
    const before = enterOrder(this);
    try {
      if (before !== null) await this.#wait(before);
      this.#advance(() => this.#steps.next());
      while (this.#step !== null) await this.#startAndAdvance(this.#step);
      return this.#conclude();
    } catch (error) {
      // Nothing of it is to be made any more.
      this.#outcome ??= { error };
      throw error;
    } finally {
      // An abort ends a wait early; who comes later waits for those before all the same.
      if (before === null) this.#endOrder();
      else
        before.whenOver(() => {
          this.#endOrder();
        });
    }
  }

  whenOver(callback: () => void): void {
    if (this.#isOver) callback();
    else (this.#listeners ??= []).push(callback);
  }

  finish(): void {
    // Code between two steps may lead here, by an event that it publishes: all that is published is by then.
    if (this.#outcome !== null || this.#advancing) return;
    if (this.#step === null) this.#advance(() => this.#steps.next());
    while (this.#step !== null && this.#finishAndAdvance(this.#step));
  }

  async #wait(before: OrderedReplace): Promise<void> {
    const around = reading.getStore();
    if (around !== undefined && shareDestination(around, this)) {
      throw new HoldfastError(
        'EDEADLK',
        `the stream of a replace cannot wait for another one of the same file, '${this.path}'`,
        { path: this.path },
      );
    }
    const signal = this.#signal;
    await new Promise<void>((resolve, reject) => {
      const stopListening = whenAborted(signal, () => {
        reject(signal?.reason as Error);
      });
      before.whenOver(() => {
        stopListening();
        resolve();
      });
    });
  }

  async #startAndAdvance(step: Step<unknown>): Promise<void> {
    let proceed: () => IteratorResult<Step<unknown>, Result>;
    try {
      const result = await (step.readsStream === true
        ? reading.run(this, () => step.start())
        : step.start());
      proceed = () => this.#steps.next(result);
    } catch (error) {
      proceed = () => this.#steps.throw(error);
    }
    // It may have been finished meanwhile, and others after it.
    if (this.#step === step) this.#advance(proceed);
  }

  /** False when the step is one that this thread cannot make. */
  #finishAndAdvance(step: Step<unknown>): boolean {
    let proceed: () => IteratorResult<Step<unknown>, Result>;
    try {
      const result = step.finish();
      proceed = () => this.#steps.next(result);
    } catch (error) {
      if (error instanceof CannotFinish) {
        const overtaken = this.#overtaken;
        if (overtaken !== null) this.#advance(() => this.#steps.return(overtaken));
        return false;
      }
      proceed = () => this.#steps.throw(error);
    }
    this.#advance(proceed);
    return true;
  }

  /** Runs the code up to the next step, or to the end. */
  #advance(proceed: () => IteratorResult<Step<unknown>, Result>): void {
    if (this.#outcome !== null) return;
    this.#advancing = true;
    try {
      const { done, value } = proceed();
      this.#step = done === true ? null : value;
      if (done === true) this.#outcome = { result: value };
    } catch (error) {
      this.#step = null;
      this.#outcome = { error };
    } finally {
      this.#advancing = false;
    }
  }

  #conclude(): Result {
    const outcome = this.#outcome;
    if (outcome !== null && 'result' in outcome) return outcome.result;
    throw outcome?.error;
  }

  #endOrder(): void {
    this.#isOver = true;
    leaveOrder(this);
    for (const listener of this.#listeners ?? []) listener();
  }
}
