import { createReadStream, readFileSync } from 'node:fs';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { setTimeout as sleep } from 'node:timers/promises';

import { replaceFile } from 'holdfast';
import type { Data, DataStream } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { mustBlock } from './helpers/must-block.js';
import { descriptorCount, residentMemory, until } from './helpers/process-figures.js';
import { printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const old = 'old contents';

/** A file with old contents in a directory that must hold nothing else in the end, besides what `use` names. */
async function withFile(
  use: (file: string, directory: string) => Promise<string[] | undefined>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'file');
    await writeFile(file, old);
    const others = await use(file, directory);
    expect((await readdir(directory)).sort()).toEqual(['file', ...(others ?? [])].sort());
  });
}

async function* generate(...chunks: Data[]): AsyncGenerator<Data> {
  for (const chunk of chunks) {
    await sleep(1);
    yield chunk;
  }
}

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

describe('an abort leaves the old contents, and nothing else, and rejects with its reason', () => {
  const reason = new Error('enough');

  async function expectAborted(file: string, replaced: Promise<unknown>): Promise<void> {
    await expect(within(replaced, 'the aborted replace')).rejects.toBe(reason);
    expect(readFileSync(file, 'utf8')).toBe(old);
  }

  for (const copyFallback of ['never', 'always'] as const) {
    describe(`copyFallback: '${copyFallback}'`, () => {
      test('before it began: the source is not touched', async () => {
        await withFile(async (file) => {
          let started = false;
          async function* unused(): AsyncGenerator<string> {
            started = true;
            await sleep(1);
            yield 'new';
          }
          const signal = AbortSignal.abort(reason);
          await expectAborted(file, replaceFile(file, unused(), { signal, copyFallback }));
          await expectAborted(file, replaceFile(file, 'new', { signal, copyFallback }));
          expect(started).toBe(false);
          return undefined;
        });
      });

      test.each([
        ['a stream', () => generate('new')],
        ['a string', () => 'new'],
        ['an empty string', () => ''],
      ])('while %s begins', async (_name, data) => {
        await withFile(async (file) => {
          const controller = new AbortController();
          const options = { signal: controller.signal, copyFallback };
          const replaced = replaceFile(file, data(), options).catch((error: unknown) => error);
          controller.abort(reason);
          // Whatever is in the target's place, it is what the outcome says.
          const outcome = await replaced;
          if (outcome === reason) expect(readFileSync(file, 'utf8')).toBe(old);
          else expect(outcome).toMatchObject({ identity: expect.any(String) as string });
          return undefined;
        });
      });

      test('between two chunks, in the source itself', async () => {
        await withFile(async (file) => {
          const controller = new AbortController();
          async function* aborting(): AsyncGenerator<string> {
            yield 'new';
            controller.abort(reason);
            await sleep(1);
            yield 'newer';
          }
          const options = { signal: controller.signal, copyFallback };
          await expectAborted(file, replaceFile(file, aborting(), options));
          return undefined;
        });
      });

      test('while a source gives nothing: it is not waited for, and a stream is closed', async () => {
        await withFile(async (file) => {
          for (const source of [new PassThrough(), hanging()]) {
            const controller = new AbortController();
            const options = { signal: controller.signal, copyFallback };
            const replaced = replaceFile(file, source, options);
            replaced.catch(() => undefined);
            await mustBlock(replaced, 'a replace whose source hangs');
            controller.abort(reason);
            await expectAborted(file, replaced);
            if (source instanceof PassThrough) expect(source.destroyed).toBe(true);
          }
          return undefined;
        });
      });

      test('after the last chunk, before the source has ended', async () => {
        await withFile(async (file) => {
          const controller = new AbortController();
          async function* aborting(): AsyncGenerator<string> {
            yield 'new';
            await sleep(1);
            controller.abort(reason);
          }
          const options = { signal: controller.signal, copyFallback };
          await expectAborted(file, replaceFile(file, aborting(), options));
          return undefined;
        });
      });

      test('while a long buffer is written', async () => {
        await withFile(async (file) => {
          const contents = Buffer.alloc(64 << 20, 'n');
          let aborted = 0;
          for (const delay of [0, 1, 2, 4, 8, 12, 16, 20]) {
            const controller = new AbortController();
            const replaced = replaceFile(file, contents, {
              signal: controller.signal,
              durability: 'none',
              copyFallback,
            });
            const end = replaced.then(
              () => 'done',
              (error: unknown) => error,
            );
            await sleep(delay);
            controller.abort(reason);
            const outcome = await end;
            const size = (await stat(file)).size;
            if (outcome === 'done') {
              expect(size).toBe(contents.length);
              await writeFile(file, old);
            } else {
              expect(outcome).toBe(reason);
              expect(readFileSync(file, 'utf8')).toBe(old);
              aborted++;
            }
          }
          printFigure(`64 MiB, copyFallback '${copyFallback}': ${aborted} of 8 aborts in time`);
          expect(aborted).toBeGreaterThan(0);
          return undefined;
        });
      });
    });
  }

  // A delay of the tracer makes the moment as long as the test needs it.
  async function replaceUnderDelay(
    file: string,
    call: string,
    moment: 'flushing' | 'published',
  ): Promise<unknown> {
    return withChildren(async (children) => {
      const child = children.fork('replace-and-abort.mjs', {
        args: [file, moment],
        prefix: ['strace', '-f', '-o', '/dev/null', '-e', `inject=${call}`],
      });
      const { outcome } = await child.waitForMessage('done');
      expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
      return outcome;
    });
  }

  test.runIf(has('strace'))('just before publishing, while the disk is waited for', async () => {
    await withFile(async (file) => {
      const outcome = await replaceUnderDelay(file, 'fsync:delay_enter=3000000:when=1', 'flushing');
      expect(outcome).toEqual({ isReason: true });
      expect(readFileSync(file, 'utf8')).toBe(old);
      return undefined;
    });
  });

  test.runIf(has('strace'))('but after publishing it has no effect', async () => {
    await withFile(async (file) => {
      const outcome = await replaceUnderDelay(
        file,
        'fsync:delay_enter=1000000:when=2',
        'published',
      );
      expect(outcome).toEqual({ method: 'rename', durable: true });
      expect(readFileSync(file, 'utf8')).toBe('new');
      return undefined;
    });
  });

  test('after the end it has no effect, and nobody listens any more', async () => {
    await withFile(async (file) => {
      const controller = new AbortController();
      let listeners = 0;
      const { signal } = controller;
      const add = signal.addEventListener.bind(signal);
      const remove = signal.removeEventListener.bind(signal);
      signal.addEventListener = (...args: Parameters<typeof add>) => {
        listeners++;
        add(...args);
      };
      signal.removeEventListener = (...args: Parameters<typeof remove>) => {
        listeners--;
        remove(...args);
      };
      await replaceFile(file, generate('n', 'e', 'w'), { signal });
      await until(() => listeners === 0, 'all listeners to be gone');
      controller.abort(reason);
      expect(readFileSync(file, 'utf8')).toBe('new');
      return undefined;
    });
  });
});

async function* hanging(): AsyncGenerator<string> {
  yield 'new';
  await new Promise(() => undefined);
}
