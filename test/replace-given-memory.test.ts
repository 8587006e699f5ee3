import {
  linkSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { lock, readRegularFile, replaceFile, replaceFileSync, updateFile } from 'holdfast';
import type { Data, DataStream } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { mustBlock } from './helpers/must-block.js';
import { generate, old, withFile } from './helpers/streamed-file.js';

const contentsOf = (file: string): string => readFileSync(file, 'utf8');
const large = 8 * 1024 * 1024;

/** A buffer that can shrink, which the types of the oldest Node do not know. */
function resizable(size: number): ArrayBuffer & { resize(size: number): void } {
  const options = { maxByteLength: size };
  const Resizable = ArrayBuffer as unknown as new (
    size: number,
    options: object,
  ) => ArrayBuffer & { resize(size: number): void };
  return new Resizable(size, options);
}

describe('memory that is taken away', () => {
  test.each([1000, large])(
    'replaceFile writes what was given, or nothing, when a buffer of %i bytes is transferred',
    async (size) => {
      await withFile(async (file) => {
        for (let round = 0; round < 5; round++) {
          writeFileSync(file, old);
          const bytes = new Uint8Array(size).fill(0x61);
          const replaced = replaceFile(file, bytes, { durability: 'none' });
          structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
          // What the memory is used for next.
          const others = Array.from({ length: 20 }, () => new Uint8Array(size).fill(0x62));
          const outcome = await replaced.catch((error: unknown) => error);
          const contents = contentsOf(file);
          if (outcome instanceof TypeError) expect(contents).toBe(old);
          else expect(contents === 'a'.repeat(size)).toBe(true);
          expect(others.length).toBe(20);
        }
        return undefined;
      });
    },
  );

  test('replaceFile rejects with a TypeError when a large buffer shrinks before it is written', async () => {
    await withFile(async (file) => {
      const memory = resizable(large);
      const replaced = replaceFile(file, memory);
      memory.resize(10);
      await expect(replaced).rejects.toThrow(TypeError);
      expect(contentsOf(file)).toBe(old);
      return undefined;
    });
  });

  test('replaceFile rejects with a TypeError when a buffer is transferred while it waits for its turn', async () => {
    await withFile(async (file) => {
      const first = replaceFile(file, generate('first'));
      const bytes = new Uint8Array(10).fill(0x61);
      const second = replaceFile(file, bytes);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      await expect(second).rejects.toThrow(TypeError);
      await first;
      expect(contentsOf(file)).toBe('first');
      return undefined;
    });
  });

  test('replaceFile refuses memory that was transferred, or has shrunk, before the call', async () => {
    await withFile(async (file) => {
      const transferred = new Uint8Array(10);
      const { buffer: detached } = transferred;
      structuredClone(detached, { transfer: [detached] });
      const memory = resizable(16);
      const views: ArrayBufferView[] = [
        new Uint8Array(memory, 8, 8),
        new Float64Array(memory, 8, 1),
        new DataView(memory, 8, 8),
      ];
      memory.resize(4);
      for (const data of [transferred, detached, ...views]) {
        await expect(replaceFile(file, data)).rejects.toThrow(TypeError);
        expect(() => replaceFileSync(file, data)).toThrow(TypeError);
        await expect(updateFile(file, () => data)).rejects.toThrow(TypeError);
      }
      expect(contentsOf(file)).toBe(old);
      // An empty view of memory that is there is nothing else than an empty file.
      await replaceFile(file, new Uint8Array(memory, 4, 0));
      expect(contentsOf(file)).toBe('');
      return ['.file.lock'];
    });
  });

  test('replaceFile writes the bytes of the moment of the call when memory is shared', async () => {
    await withFile(async (file) => {
      const shared = new Uint8Array(new SharedArrayBuffer(large)).fill(0x61);
      const replaced = replaceFile(file, shared, { durability: 'none' });
      shared.fill(0x62);
      await replaced;
      expect(contentsOf(file) === 'a'.repeat(large)).toBe(true);
      return undefined;
    });
  });

  test('replaceFile writes every byte when data is larger than a piece', async () => {
    await withFile(async (file) => {
      for (const size of [1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_003]) {
        const bytes = Buffer.alloc(size);
        for (let i = 0; i < size; i += 997) bytes[i] = i % 251;
        await replaceFile(file, bytes, { durability: 'none' });
        expect(readFileSync(file).equals(bytes)).toBe(true);
        await replaceFile(file, generate(bytes, bytes), { durability: 'none' });
        expect(statSync(file).size).toBe(2 * size);
      }
      return undefined;
    });
  });
});

describe('streams that are used up', () => {
  const drained = async (): Promise<Readable> => {
    const stream = Readable.from(['contents']);
    await buffer(stream);
    return stream;
  };
  const readButNotEnded = async (): Promise<Readable> => {
    const stream = new PassThrough();
    stream.end('contents');
    await new Promise((resolve) => stream.once('readable', resolve));
    stream.read();
    return stream;
  };
  const destroyed = (): Readable => Readable.from(['contents']).destroy();
  const errored = (): Readable => {
    const stream = new PassThrough();
    stream.on('error', () => undefined);
    return stream.destroy(new Error('mine'));
  };
  const flowing = (): Readable => {
    const stream = new PassThrough();
    stream.on('data', () => undefined);
    stream.write('lost');
    return stream;
  };
  const webLocked = (): ReadableStream => {
    const stream = new ReadableStream();
    stream.getReader();
    return stream;
  };
  const webDrained = async (): Promise<ReadableStream> => {
    const stream = new Blob(['contents']).stream() as unknown as ReadableStream;
    const reader = stream.getReader();
    while (!(await reader.read()).done);
    reader.releaseLock();
    return stream;
  };
  const webCancelled = async (): Promise<ReadableStream> => {
    const stream = new Blob(['contents']).stream() as unknown as ReadableStream;
    await stream.cancel();
    return stream;
  };
  const endsEarly = (): Readable => {
    const stream = new PassThrough();
    stream.write('half');
    setTimeout(() => stream.destroy(), 20);
    return stream;
  };

  test.each<[string, () => unknown]>([
    ['was read to its end', drained],
    ['was read and has not ended yet', readButNotEnded],
    ['was destroyed', destroyed],
    ['has failed', errored],
    ['is flowing', flowing],
    ['is locked (web)', webLocked],
    ['was read to its end (web)', webDrained],
    ['was cancelled (web)', webCancelled],
    ['is destroyed half way', endsEarly],
  ])('replaceFile rejects and leaves the old file when a stream %s', async (_what, make) => {
    await withFile(async (file) => {
      const stream = (await make()) as DataStream;
      await expect(replaceFile(file, stream)).rejects.toThrow(Error);
      expect(contentsOf(file)).toBe(old);
      return undefined;
    });
  });

  test.each<[string, () => DataStream]>([
    ['generator', () => generate('contents')],
    ['Readable', () => Readable.from(['contents'])],
    ['web stream', () => new Blob(['contents']).stream()],
  ])(
    'replaceFile rejects when it is given a %s that a replace was given before',
    async (_what, make) => {
      await withFile(async (file) => {
        const stream = make();
        await replaceFile(`${file}2`, stream);
        await expect(replaceFile(file, stream)).rejects.toThrow(TypeError);
        // One that failed before it read anything has closed it, too.
        const closed = make();
        await expect(replaceFile(`${file}/x`, closed)).rejects.toThrow(Error);
        await expect(replaceFile(file, closed)).rejects.toThrow(TypeError);
        expect(contentsOf(file)).toBe(old);
        expect(contentsOf(`${file}2`)).toBe('contents');
        return ['file2'];
      });
    },
  );

  test('replaceFile writes the rest of a stream when its beginning was read by the caller', async () => {
    await withFile(async (file) => {
      const stream = new PassThrough();
      stream.write('head ');
      stream.end('rest');
      await new Promise((resolve) => stream.once('readable', resolve));
      expect(String(stream.read(5))).toBe('head ');
      await replaceFile(file, stream);
      expect(contentsOf(file)).toBe('rest');
      return undefined;
    });
  });

  test.each<[string, () => DataStream]>([
    ['array', () => []],
    ['generator', () => generate()],
    ['Readable', () => Readable.from([])],
  ])('replaceFile makes an empty file when an %s is empty', async (_what, make) => {
    await withFile(async (file) => {
      await replaceFile(file, make());
      expect(contentsOf(file)).toBe('');
      return undefined;
    });
  });
});

describe('an abort between two steps', () => {
  const reason = new Error('enough');

  const cases: [string, object, (file: string) => Data | DataStream][] = [
    ['a link is followed', { links: 'follow' }, () => 'new'],
    ['the old contents are hashed', { ifMatch: { sha256: 'ab'.repeat(32) } }, () => 'new'],
    ['the lock is taken', { ifMatch: { identity: '1:0:1:1:1:1' } }, () => 'new'],
    ['a large buffer is written', {}, () => Buffer.alloc(large)],
    ['a stream is read', {}, () => generate('a', 'b')],
    ['a new file is made', {}, () => 'new'],
  ];

  test.each(cases.filter(([, options]) => !('links' in options) || has('symlinks')))(
    'replaceFile rejects with the reason when it is aborted while %s',
    async (_what, options, data) => {
      await withFile(async (file) => {
        const linked = 'links' in options;
        if (linked) symlinkSync('file', `${file}-link`);
        const target = linked ? `${file}-link` : file;
        // At every turn of the event loop until it is too late for an abort.
        for (let turns = 0, aborted = true; aborted; turns++) {
          const controller = new AbortController();
          const { signal } = controller;
          const progress = { settled: false };
          const replaced = replaceFile(target, data(file), { ...options, signal }).then(
            () => 'replaced',
            (error: unknown) => error,
          );
          void replaced.then(() => (progress.settled = true));
          for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
          const tooLate = progress.settled;
          controller.abort(reason);
          const outcome = await replaced;
          aborted = outcome === reason;
          if (aborted) expect(contentsOf(file)).toBe(old);
          else if (turns === 0) expect.unreachable('an abort at once');
          expect(tooLate && aborted).toBe(false);
        }
        return [...(linked ? ['file-link'] : []), ...('ifMatch' in options ? ['.file.lock'] : [])];
      });
    },
  );
});

describe('ifMatch', () => {
  test('replaceFile rejects with ETIMEDOUT when the lock is not had within the timeout', async () => {
    await withFile(async (file) => {
      const held = await lock(file);
      const ifMatch = { sha256: 'ab'.repeat(32) };
      const swap = replaceFile(file, 'new', { ifMatch, timeout: 30 });
      await expect(swap).rejects.toMatchObject({ code: 'ETIMEDOUT', holder: { self: true } });
      const once = replaceFile(file, 'new', { ifMatch, timeout: 0 });
      await expect(once).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      // Without it nobody waits for ever, either, which a test cannot wait for.
      const waiting = replaceFile(file, 'new', { ifMatch });
      const done = await mustBlock(
        waiting.catch((error: unknown) => error),
        'ifMatch',
      );
      await held.release();
      expect(await done()).toMatchObject({ code: 'ECONFLICT' });
      expect(() => replaceFileSync(file, 'new', { timeout: -1 })).toThrow(RangeError);
      return ['.file.lock'];
    });
  });

  test('replaceFile compares an identity without reading when the file is large', async () => {
    await withFile(async (file) => {
      const size = 4 * 1024 ** 4;
      truncateSync(file, size);
      const { ino } = statSync(file, { bigint: true });
      const identity = `1:0:${ino}:1:1:1`;
      const options = { ifMatch: { identity } };
      await expect(replaceFile(file, 'new', options)).rejects.toMatchObject({ code: 'ECONFLICT' });
      expect(() => replaceFileSync(file, 'new', options)).toThrow(/ECONFLICT/);
      await expect(replaceFile(file, 'new', { ifMatch: null })).rejects.toMatchObject({
        code: 'ECONFLICT',
      });
      expect(statSync(file).size).toBe(size);
      writeFileSync(file, old);
      return ['.file.lock'];
    });
  });

  test.each(['', 'no identity', '0:0:0:0:0:0', '1:2:3', '1:0:1:1:1:1x'])(
    'replaceFile rejects with ECONFLICT when the file is absent and the identity is %o',
    async (identity) => {
      await withFile(async (file) => {
        const absent = `${file}2`;
        const swap = replaceFile(absent, 'new', { ifMatch: { identity } });
        await expect(swap).rejects.toMatchObject({ code: 'ECONFLICT' });
        return ['.file2.lock'];
      });
    },
  );

  test('replaceFile does not read a stream when the file is not the expected one', async () => {
    await withFile(async (file) => {
      const { identity } = (await readRegularFile(file)) ?? { identity: '' };
      rmSync(file);
      writeFileSync(file, old);
      linkSync(file, `${file}2`);
      rmSync(`${file}2`);
      let read = 0;
      const stream = {
        async *[Symbol.asyncIterator]() {
          read++;
          yield* generate('new');
        },
      };
      const swap = replaceFile(file, stream, { ifMatch: { identity } });
      await expect(swap).rejects.toMatchObject({ code: 'ECONFLICT' });
      expect(read).toBe(0);
      return ['.file.lock'];
    });
  });
});
