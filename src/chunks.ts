import type { Data, DataStream } from './bytes.js';

/** The chunks of a stream, one after the other. An abort does not wait for the one that the source is about to give. */
export class ChunkSource {
  readonly #data: DataStream;
  readonly #iterator: AsyncIterator<Data> | Iterator<Data>;
  readonly #signal: AbortSignal | undefined;

  constructor(data: DataStream, signal: AbortSignal | undefined) {
    this.#data = data;
    this.#signal = signal;
    // An error that comes before anything is read would end the process; the read rejects with it all the same.
    const { on } = data as { on?: unknown };
    if (typeof on === 'function') on.call(data, 'error', () => undefined);
    this.#iterator =
      Symbol.asyncIterator in data ? data[Symbol.asyncIterator]() : data[Symbol.iterator]();
  }

  /** The next chunk, or undefined at the end. Rejects with the source's error or with `signal.reason`. */
  async next(): Promise<Data | undefined> {
    const { done, value } = await this.#nextOrAbort();
    return done === true ? undefined : value;
  }

  async #nextOrAbort(): Promise<IteratorResult<Data, undefined>> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    const next = Promise.resolve(this.#iterator.next() as IteratorResult<Data, undefined>);
    if (signal === undefined) return next;
    // A listener for each chunk: a race against one promise for all of them would keep every chunk in memory.
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      next.then(resolve, reject).finally(() => {
        signal.removeEventListener('abort', onAbort);
      });
    });
  }

  /** Lets go of a source that was not read to its end. Does not wait for it: it may be hanging. */
  close(): void {
    const { destroy } = this.#data as { destroy?: unknown };
    if (typeof destroy === 'function') destroy.call(this.#data);
    else void this.#return().catch(() => undefined);
  }

  async #return(): Promise<void> {
    // A generator queues its end behind what it waits for.
    await this.#iterator.return?.();
  }
}
