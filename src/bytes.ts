import { types } from 'node:util';
import { show } from './show.js';

/** What can be written at once. */
export type Data = string | ArrayBufferView | ArrayBuffer | SharedArrayBuffer;
/** What can be written bit by bit. */
export type DataStream = AsyncIterable<Data> | Iterable<Data>;

/**
 * The bytes of `data`; a view on the same memory where there is one, but a copy of shared memory, which other threads
 * change. Strings become UTF-8.
 */
export function toBytes(data: unknown, name = 'data'): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof Uint8Array) {
    if (data.byteLength === 0) refuseLostMemory(data, name);
    return unshared(data);
  }
  if (ArrayBuffer.isView(data)) {
    refuseLostMemory(data, name);
    return unshared(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) {
    refuseLostMemory(data, name);
    return unshared(new Uint8Array(data));
  }
  throw new TypeError(
    `${name} must be a string, Buffer, TypedArray, DataView or ArrayBuffer, got ${show(data)}`,
  );
}

export function isStream(data: unknown): data is DataStream {
  return (
    typeof data === 'object' &&
    data !== null &&
    !ArrayBuffer.isView(data) &&
    (Symbol.asyncIterator in data || Symbol.iterator in data)
  );
}

/** An empty file is not what a caller means whose buffer was transferred away, or has shrunk below the view on it. */
function refuseLostMemory(
  data: ArrayBufferView | ArrayBuffer | SharedArrayBuffer,
  name: string,
): void {
  try {
    // A view without its memory says that it is empty. Iterating over it, or making another one, is a TypeError.
    if (types.isTypedArray(data)) Uint8Array.prototype.keys.call(data as Uint8Array);
    else if (!ArrayBuffer.isView(data)) new Uint8Array(data, 0, 0);
  } catch (cause) {
    throw new TypeError(`${name} must have its memory: its buffer was transferred or has shrunk`, {
      cause,
    });
  }
}

function unshared(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof SharedArrayBuffer ? new Uint8Array(bytes) : bytes;
}

/** What a caller gave to be written, all at once. */
export class GivenBytes {
  readonly size: number;
  readonly #bytes: Uint8Array;
  readonly #name: string;

  constructor(data: unknown, name = 'data') {
    this.#bytes = toBytes(data, name);
    this.#name = name;
    this.size = this.#bytes.byteLength;
  }

  /** Throws a TypeError when the memory is no longer what was given. */
  get bytes(): Uint8Array {
    if (this.#bytes.byteLength === this.size) return this.#bytes;
    throw new TypeError(
      `${this.#name} must not be transferred or resized while it is written: ` +
        `it had ${this.size} bytes, and has ${this.#bytes.byteLength}`,
    );
  }
}
