import { createReadStream, readFileSync } from 'node:fs';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { setTimeout as sleep } from 'node:timers/promises';

import { replaceFile } from 'holdfast';
import type { Data, DataStream } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { mustBlock } from './helpers/must-block.js';
import { descriptorCount, residentMemory, until } from './helpers/process-figures.js';
import { printFigure } from './helpers/scale.js';
import { generate, old, withFile } from './helpers/streamed-file.js';

describe('a stream is written as it comes', () => {
  const letters = ['st', 'r', 'eam'];
  test.each<[string, () => DataStream, string]>([
    ['an async generator', () => generate(...letters), 'stream'],
    ['a generator', () => letters.values(), 'stream'],
    ['an array', () => letters, 'stream'],
    ['a set', () => new Set(letters), 'stream'],
    ['a Readable in object mode', () => Readable.from(letters), 'stream'],
    ['a Readable of bytes', () => Readable.from(Buffer.from('stream')), 'stream'],
    ['a PassThrough', () => new PassThrough().end('stream'), 'stream'],
    ['a web stream', () => ReadableStream.from(letters), 'stream'],
    ['nothing', () => generate(), ''],
    ['chunks of nothing', () => generate('', new Uint8Array(), 'x', Buffer.alloc(0)), 'x'],
  ])('%s', async (_name, data, expected) => {
    await withFile(async (file) => {
      expect(await replaceFile(file, data())).toMatchObject({ method: 'rename' });
      expect(await readFile(file, 'utf8')).toBe(expected);
      return undefined;
    });
  });

  test('chunks may be of every kind that contents may be of', async () => {
    await withFile(async (file) => {
      const bytes = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7]);
      const shared = new SharedArrayBuffer(2);
      new Uint8Array(shared).set([200, 201]);
      await replaceFile(
        file,
        generate(
          'ü',
          Buffer.from([255]),
          bytes.subarray(2, 4),
          new Uint16Array(bytes.buffer, 4, 1),
          new DataView(bytes.buffer, 7),
          bytes.buffer.slice(0, 1),
          shared,
        ),
      );
      expect([...(await readFile(file))]).toEqual([0xc3, 0xbc, 255, 2, 3, 4, 5, 7, 0, 200, 201]);
      return undefined;
    });
  });

  test.runIf(has('proc'))('a long one in bounded memory', async () => {
    await withFile(async (file, directory) => {
      const source = path.join(directory, 'source');
      const size = 256 << 20;
      await writeFile(source, '');
      await truncate(source, size);
      const before = residentMemory();
      let peak = 0;
      const stream = createReadStream(source);
      stream.on('data', () => (peak = Math.max(peak, residentMemory() - before)));
      stream.pause();
      await replaceFile(file, stream, { durability: 'none' });
      expect((await stat(file)).size).toBe(size);
      printFigure(`a stream of 256 MiB: ${Math.round(peak / 1e6)} MB more memory`);
      expect(peak).toBeLessThan(128e6);
      return ['source'];
    });
  });

  test('by the copy, too', async () => {
    await withFile(async (file) => {
      const result = await replaceFile(file, generate(...letters), { copyFallback: 'always' });
      expect(result.method).toBe('copy');
      expect(await readFile(file, 'utf8')).toBe('stream');
      return undefined;
    });
  });
});

describe('a source that fails leaves the old contents, and nothing else', () => {
  test('an error of a generator is handed on as it is', async () => {
    await withFile(async (file) => {
      const error = new Error('no more');
      async function* failing(): AsyncGenerator<string> {
        yield 'new';
        await sleep(1);
        throw error;
      }
      await expect(replaceFile(file, failing())).rejects.toBe(error);
      expect(readFileSync(file, 'utf8')).toBe(old);
      return undefined;
    });
  });

  test('an error of a stream comes at once, although the stream would go on for ever', async () => {
    await withFile(async (file) => {
      const error = new Error('no more');
      const stream = new PassThrough();
      stream.write('new');
      const end = await mustBlock(
        replaceFile(file, stream).catch((reason: unknown) => reason),
        'a replace whose stream goes on',
      );
      stream.destroy(error);
      expect(await end()).toBe(error);
      expect(readFileSync(file, 'utf8')).toBe(old);
      return undefined;
    });
  });

  test('an error of opening a stream', async () => {
    await withFile(async (file, directory) => {
      const stream = createReadStream(path.join(directory, 'absent'));
      await expect(replaceFile(file, stream)).rejects.toMatchObject({ code: 'ENOENT' });
      expect(readFileSync(file, 'utf8')).toBe(old);
      return undefined;
    });
  });

  test.each([[5], [null], [{}], [[1]]])('a chunk that is %j is named', async (chunk) => {
    await withFile(async (file) => {
      let closed = false;
      async function* wrong(): AsyncGenerator<Data> {
        try {
          yield 'new';
          yield chunk as unknown as Data;
        } finally {
          await sleep(1);
          closed = true;
        }
      }
      await expect(replaceFile(file, wrong())).rejects.toThrow(
        /^each chunk of data must be a string, Buffer, /,
      );
      expect(readFileSync(file, 'utf8')).toBe(old);
      await until(() => closed, 'the generator to be closed');
      return undefined;
    });
  });

  test.runIf(has('proc'))('a stream is closed even when nothing of it was read', async () => {
    await withFile(async (file) => {
      const before = descriptorCount();
      const stream = createReadStream(file);
      await expect(replaceFile(path.join(file, 'x'), stream)).rejects.toMatchObject({
        code: 'ENOTDIR',
      });
      expect(stream.destroyed).toBe(true);
      await until(() => descriptorCount() <= before, 'the stream to be closed');
      return undefined;
    });
  });
});
