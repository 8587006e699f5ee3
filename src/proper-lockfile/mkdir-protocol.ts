/**
 * proper-lockfile's own protocol, call for call: whoever makes the directory has the lock, and shows by its time of
 * modification that he lives. For those who give an `fs`; it can promise no more than it always did.
 *
 * Each step of it is a call of that `fs`, yielded to whoever makes it, with callbacks or synchronously.
 */
import { compromisedBy, isAbsent, lockedError, robbedError } from './errors.js';
import { Holding } from './holding.js';
import type { CheckSettings, LockfileFs, LockSettings } from './options.js';

type Call = readonly [method: keyof LockfileFs, ...args: unknown[]];
type Protocol<Result> = Generator<Call, Result, never>;
type Precision = 's' | 'ms';

interface Stats {
  mtime: Date;
}

/** What was found out about the clock of each `fs`. Some can be given no property to keep it in. */
const precisions = new WeakMap<object, Precision>();

export async function makeCalls<Result>(
  fs: LockfileFs,
  protocol: Protocol<Result>,
): Promise<Result> {
  let step = protocol.next();
  while (step.done !== true) {
    const [method, ...args] = step.value;
    const settled = await new Promise<{ error?: unknown; value?: unknown }>((resolve) => {
      const callback = (error: unknown, value: unknown): void =>
        resolve(error ? { error } : { value });
      (fs[method] as (...args: unknown[]) => void)(...args, callback);
    });
    step =
      'error' in settled ? protocol.throw(settled.error) : protocol.next(settled.value as never);
  }
  return step.value;
}

export function makeCallsSync<Result>(fs: LockfileFs, protocol: Protocol<Result>): Result {
  const synchronous = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
  let step = protocol.next();
  while (step.done !== true) {
    const [method, ...args] = step.value;
    let value: unknown;
    let failure: { error: unknown } | undefined;
    try {
      value = synchronous[`${method}Sync`]?.(...args);
    } catch (error) {
      failure = { error };
    }
    step = failure ? protocol.throw(failure.error) : protocol.next(value as never);
  }
  return step.value;
}

export function* resolveByCalls(file: string): Protocol<string> {
  return yield ['realpath', file];
}

function isStale({ mtime }: Stats, stale: number): boolean {
  return mtime.getTime() < Date.now() - stale;
}

/** Whether somebody holds the lock. */
export function* checkByCalls(lockfilePath: string, { stale }: CheckSettings): Protocol<boolean> {
  try {
    return !isStale(yield ['stat', lockfilePath], stale);
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Removes the directory, if it is there. */
export function* removeByCalls(lockfilePath: string): Protocol<void> {
  try {
    yield ['rmdir', lockfilePath];
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

/** Makes the directory; `stale` is null in the second try, which removes nothing. */
function* makeDirectory(file: string, lockfilePath: string, stale: number | null): Protocol<void> {
  try {
    yield ['mkdir', lockfilePath];
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (stale === null) throw lockedError(file);
  let stats: Stats | undefined;
  try {
    stats = yield ['stat', lockfilePath];
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  if (stats !== undefined) {
    if (!isStale(stats, stale)) throw lockedError(file);
    yield* removeByCalls(lockfilePath);
  }
  yield* makeDirectory(file, lockfilePath, null);
}

/** Some file systems keep whole seconds only: a time just off the second shows. */
function* findPrecision(fs: LockfileFs, lockfilePath: string): Protocol<[Date, Precision]> {
  const known = precisions.get(fs);
  if (known !== undefined) {
    const { mtime }: Stats = yield ['stat', lockfilePath];
    return [mtime, known];
  }
  const offSecond = new Date(Math.ceil(Date.now() / 1000) * 1000 + 5);
  yield ['utimes', lockfilePath, offSecond, offSecond];
  const { mtime }: Stats = yield ['stat', lockfilePath];
  const precision = mtime.getTime() % 1000 === 0 ? 's' : 'ms';
  precisions.set(fs, precision);
  return [mtime, precision];
}

function* acquireByCalls(
  fs: LockfileFs,
  file: string,
  lockfilePath: string,
  stale: number,
): Protocol<[Date, Precision]> {
  yield* makeDirectory(file, lockfilePath, stale);
  try {
    return yield* findPrecision(fs, lockfilePath);
  } catch (error) {
    try {
      yield ['rmdir', lockfilePath];
    } catch {
      // The first error tells what is the matter.
    }
    throw error;
  }
}

const retryInterval = 1000;
const longestTimer = 2 ** 31 - 1;

/** A lock that consists of the directory alone. */
export class DirectoryHolding extends Holding {
  readonly #fs: LockfileFs;
  readonly #stale: number;
  readonly #interval: number;
  readonly #precision: Precision;
  readonly #make: (protocol: Protocol<undefined>) => unknown;
  #mtime: Date;
  #refreshedAt = Date.now();
  /** Elsewhere than in Node it is a number. */
  #timer: NodeJS.Timeout | number | undefined;

  private constructor(
    file: string,
    lockfilePath: string,
    settings: LockSettings & { fs: LockfileFs },
    [mtime, precision]: [Date, Precision],
    makeAll: typeof makeCalls | typeof makeCallsSync,
  ) {
    super(file, lockfilePath, settings.onCompromised);
    this.#fs = settings.fs;
    this.#stale = settings.stale;
    this.#interval = settings.update;
    this.#mtime = mtime;
    this.#precision = precision;
    this.#make = (protocol) => makeAll(this.#fs, protocol);
    this.#schedule(this.#interval);
  }

  static async acquire(
    file: string,
    lockfilePath: string,
    settings: LockSettings & { fs: LockfileFs },
  ): Promise<DirectoryHolding> {
    const { fs, stale } = settings;
    const seen = await makeCalls(fs, acquireByCalls(fs, file, lockfilePath, stale));
    return new DirectoryHolding(file, lockfilePath, settings, seen, makeCalls);
  }

  static acquireSync(
    file: string,
    lockfilePath: string,
    settings: LockSettings & { fs: LockfileFs },
  ): DirectoryHolding {
    const { fs, stale } = settings;
    const seen = makeCallsSync(fs, acquireByCalls(fs, file, lockfilePath, stale));
    return new DirectoryHolding(file, lockfilePath, settings, seen, makeCallsSync);
  }

  protected async giveBack(fs: LockfileFs = this.#fs): Promise<void> {
    clearTimeout(this.#timer);
    await makeCalls(fs, removeByCalls(this.lockfilePath));
  }

  protected giveBackSync(fs: LockfileFs = this.#fs): void {
    clearTimeout(this.#timer);
    makeCallsSync(fs, removeByCalls(this.lockfilePath));
  }

  protected giveUp(): Promise<void> {
    clearTimeout(this.#timer);
    return Promise.resolve();
  }

  protected giveBackAtEnd(): void {
    this.giveBackSync();
  }

  #schedule(delay: number): void {
    this.#timer = setTimeout(() => void this.#make(this.#refresh()), Math.min(delay, longestTimer));
    if (typeof this.#timer === 'object') this.#timer.unref();
  }

  /** The release may come between any two calls. */
  #isReleased(): boolean {
    return this.released;
  }

  #isLate(): boolean {
    return this.#refreshedAt + this.#stale < Date.now();
  }

  /** Being late is no harm as long as the time is still the one that we set. */
  *#refresh(): Protocol<undefined> {
    try {
      const { mtime }: Stats = yield ['stat', this.lockfilePath];
      if (this.#isReleased()) return;
      if (mtime.getTime() !== this.#mtime.getTime()) {
        void this.compromise(robbedError());
        return;
      }
      const now = Date.now();
      const time = new Date(this.#precision === 's' ? Math.ceil(now / 1000) * 1000 : now);
      yield ['utimes', this.lockfilePath, time, time];
      if (this.#isReleased()) return;
      this.#mtime = time;
      this.#refreshedAt = Date.now();
    } catch (error) {
      if (this.#isReleased()) return;
      if (isAbsent(error) || this.#isLate()) {
        void this.compromise(compromisedBy(error as Error));
      } else {
        this.#schedule(retryInterval);
      }
      return;
    }
    this.#schedule(this.#interval);
  }
}
