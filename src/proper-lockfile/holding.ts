/** The locks that this copy of the module holds in this thread. */
import { notAcquiredError, releasedError } from './errors.js';
import { watchForEnd } from './process-end.js';
import type { LockfileFs } from './options.js';

/** A lock that is held, in whichever way. */
export abstract class Holding {
  /** By the resolved path of the file; the latest one last. */
  static readonly #all = new Map<string, Holding[]>();

  readonly file: string;
  readonly lockfilePath: string;
  readonly #onCompromised: (error: Error) => unknown;
  #released = false;

  protected constructor(
    file: string,
    lockfilePath: string,
    onCompromised: (error: Error) => unknown,
  ) {
    this.file = file;
    this.lockfilePath = lockfilePath;
    this.#onCompromised = onCompromised;
    const sameFile = Holding.#all.get(file);
    if (sameFile === undefined) Holding.#all.set(file, [this]);
    else sameFile.push(this);
    watchForEnd(() => {
      Holding.#releaseAllAtEnd();
    });
  }

  /** The latest one on a file, or the one in one of these places. */
  static find(file: string, lockfilePaths?: readonly string[]): Holding {
    const holding = Holding.#all
      .get(file)
      ?.findLast(({ lockfilePath }) => lockfilePaths?.includes(lockfilePath) ?? true);
    if (holding === undefined) throw notAcquiredError();
    return holding;
  }

  /** The latest one of each file. */
  static all(): Record<string, Holding> {
    return Object.fromEntries(
      [...Holding.#all].map(([file, holdings]) => [file, holdings.at(-1) as Holding]),
    );
  }

  /** Gives the lock back. With `fs` its directory is removed by that. */
  async release(fs?: LockfileFs): Promise<void> {
    if (!this.#forget()) throw releasedError();
    await this.giveBack(fs);
  }

  releaseSync(fs?: LockfileFs): void {
    if (!this.#forget()) throw releasedError();
    this.giveBackSync(fs);
  }

  protected get released(): boolean {
    return this.#released;
  }

  /** The lock is lost: what is left of it is given up, and the holder is told. */
  protected async compromise(error: Error): Promise<void> {
    if (!this.#forget()) return;
    await this.giveUp();
    // On its own, so that what it throws is nobody's to catch.
    process.nextTick(this.#onCompromised, error);
  }

  protected abstract giveBack(fs: LockfileFs | undefined): Promise<void>;
  protected abstract giveBackSync(fs: LockfileFs | undefined): void;
  /** Leaves everything that is not ours any more. */
  protected abstract giveUp(): Promise<void>;
  /** Frees what would outlive the process. */
  protected abstract giveBackAtEnd(): void;

  #forget(): boolean {
    if (this.#released) return false;
    this.#released = true;
    const others = Holding.#all.get(this.file)?.filter((holding) => holding !== this) ?? [];
    if (others.length > 0) Holding.#all.set(this.file, others);
    else Holding.#all.delete(this.file);
    if (Holding.#all.size === 0) watchForEnd(null);
    return true;
  }

  static #releaseAllAtEnd(): void {
    for (const holding of [...Holding.#all.values()].flat()) {
      holding.#forget();
      try {
        holding.giveBackAtEnd();
      } catch {
        // Nobody is left to be told.
      }
    }
  }
}
