import { Readable } from 'node:stream';
import { whenAborted } from './abort.js';
import type { Data, DataStream } from './bytes.js';

const claimed = new WeakSet<object>();

/** The chunks of a stream, one after the other. An abort does not wait for the one that the source is about to give. */
export class ChunkSource {
  readonly #data: DataStream;
  readonly #iterator: AsyncIterator<Data> | Iterator<Data>;
  readonly #signal: AbortSignal | undefined;
  /** Whether the caller has read from it, so that nothing more may mean that all is gone. */
  readonly #wasRead: boolean;
  #count = 0;

  constructor(data: DataStream, signal: AbortSignal | undefined) {
    this.#data = data;
    this.#signal = signal;
    this.#wasRead = Readable.isDisturbed(data as Readable);
    if ((data as Partial<Readable>).readableFlowing === true) {
      throw new TypeError('data must not be a stream that is flowing: what has been read is lost');
    }
    // An error that comes before anything is read would end the process; the read rejects with it all the same.
    const { on } = data as { on?: unknown };
    if (typeof on === 'function') on.call(data, 'error', () => undefined);
    this.#iterator =
      Symbol.asyncIterator in data ? data[Symbol.asyncIterator]() : data[Symbol.iterator]();
    this.#claim();
  }

  /** What can be read only once would be empty, or shared, the second time. */
  #claim(): void {
    const data = this.#data as Partial<Readable & ReadableStream>;
    const once =
      (this.#iterator as unknown) === data ||
      typeof data.on === 'function' ||
      typeof data.getReader === 'function';
    if (!once) return;
    if (claimed.has(data)) {
      throw new TypeError('data must not be a stream that was handed to a replace before');
    }
    claimed.add(data);
  }

  /** The next chunk, or undefined at the end. Rejects with the source's error or with `signal.reason`. */
  async next(): Promise<Data | undefined> {
    const { done, value } = await this.#nextOrAbort();
    if (done !== true) {
      this.#count++;
      return value;
    }
    if (this.#count === 0 && this.#wasRead) {
      throw new TypeError('data must not be a stream that was read to its end before');
    }
    return undefined;
  }

  async #nextOrAbort(): Promise<IteratorResult<Data, undefined>> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    const next = Promise.resolve(this.#iterator.next() as IteratorResult<Data, undefined>);
    if (signal === undefined) return next;
    // A listener for each chunk: a race against one promise for all of them would keep every chunk in memory.
    return new Promise((resolve, reject) => {
      const stopListening = whenAborted(signal, () => {
        reject(signal.reason as Error);
      });
      next.then(resolve, reject).finally(stopListening);
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
