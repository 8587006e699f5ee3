import { show } from './show.js';

/** What can be written at once. */
export type Data = string | ArrayBufferView | ArrayBuffer | SharedArrayBuffer;
/** What can be written bit by bit. */
export type DataStream = AsyncIterable<Data> | Iterable<Data>;

/** The bytes of `data`; a view on the same memory where there is one. Strings become UTF-8. */
export function toBytes(data: unknown, name = 'data'): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof Uint8Array) return unshared(data);
  if (ArrayBuffer.isView(data)) {
    return unshared(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) {
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

/** Another thread may change shared memory while it is written. */
function unshared(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof SharedArrayBuffer ? Uint8Array.from(bytes) : bytes;
}

/** The same memory as a Buffer. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
