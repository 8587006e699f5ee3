import { readFileSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { replaceFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { mustBlock } from './helpers/must-block.js';
import { until } from './helpers/process-figures.js';
import { printFigure } from './helpers/scale.js';
import { generate, old, withFile } from './helpers/streamed-file.js';

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
