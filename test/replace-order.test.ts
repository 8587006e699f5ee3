import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { lock, readRegularFile, replaceFile, replaceFileSync, updateFile } from 'holdfast';
import type { Data } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale } from './helpers/scale.js';
import { generate, old, withFile } from './helpers/streamed-file.js';

const rounds = atScale(500, 25);
const contentsOf = (file: string): string => readFileSync(file, 'utf8');

/** A stream that ends when it is told to. */
function controlled(): { stream: AsyncIterable<Data>; end: () => void; begun: Promise<void> } {
  let end!: () => void;
  let begin!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const begun = new Promise<void>((resolve) => (begin = resolve));
  async function* chunks(): AsyncGenerator<Data> {
    begin();
    yield 'streamed';
    await ended;
  }
  return { stream: chunks(), end, begun };
}

describe('replaces of one file in one thread', () => {
  test('replaceFile leaves the last contents when 20 calls are pending', async () => {
    await withFile(async (file) => {
      for (let round = 0; round < rounds; round++) {
        const states = Array.from({ length: 20 }, (_, i) => `state ${round} ${i}`);
        const order: number[] = [];
        await Promise.all(
          states.map((state, i) =>
            replaceFile(file, state, { durability: 'none' }).then(() => order.push(i)),
          ),
        );
        expect(contentsOf(file)).toBe(states.at(-1));
        expect(order).toEqual(states.map((_, i) => i));
      }
      return undefined;
    });
  });

  test('replaceFile leaves the last contents when calls differ in size', async () => {
    await withFile(async (file) => {
      for (let round = 0; round < 5; round++) {
        const large = replaceFile(file, Buffer.alloc(9e6, 'x'), { durability: 'none' });
        await Promise.all([large, replaceFile(file, 'small', { durability: 'none' })]);
        expect(contentsOf(file)).toBe('small');
      }
      return undefined;
    });
  });

  test('replaceFileSync stands when a call of replaceFile is pending', async () => {
    await withFile(async (file) => {
      for (let round = 0; round < rounds; round++) {
        const pending = [1, 2, 3].map((i) =>
          replaceFile(file, `old ${i}`, { durability: 'none', mode: 0o640 }),
        );
        for (let turn = round % 4; turn > 0; turn--) await new Promise(setImmediate);
        replaceFileSync(file, `new ${round}`, { durability: 'none' });
        expect(contentsOf(file)).toBe(`new ${round}`);
        await Promise.all(pending);
        expect(contentsOf(file)).toBe(`new ${round}`);
      }
      return undefined;
    });
  });

  test('replaceFileSync finds what earlier calls have made when it keeps the mode', async () => {
    await withFile(async (file) => {
      if (process.platform === 'win32') return undefined;
      const { statSync } = await import('node:fs');
      const first = replaceFile(file, 'secret', { mode: 0o600 });
      const result = replaceFileSync(file, 'newer secret');
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(result.kept).toEqual(['mode']);
      expect(await first).toMatchObject({ superseded: false });
      return undefined;
    });
  });

  test('replaceFileSync stands when a large replace is half written', async () => {
    await withFile(async (file) => {
      const large = replaceFile(file, Buffer.alloc(20e6, 'x'), { durability: 'none' });
      await new Promise(setImmediate);
      replaceFileSync(file, 'new');
      await large;
      expect(contentsOf(file)).toBe('new');
      return undefined;
    });
  });

  test('replaceFileSync stands when a stream is pending, which is then superseded', async () => {
    await withFile(async (file) => {
      const { stream, end, begun } = controlled();
      const pending = replaceFile(file, stream);
      const behind = replaceFile(file, 'behind');
      await begun;
      replaceFileSync(file, 'new');
      end();
      expect(await pending).toMatchObject({ superseded: true, durable: false });
      await behind;
      expect(contentsOf(file)).toBe('new');
      return undefined;
    });
  });

  test('replaceFile rejects with EEXIST when a stream with createOnly was overtaken', async () => {
    await withFile(async (file) => {
      const other = `${file}2`;
      const { stream, end, begun } = controlled();
      const pending = replaceFile(other, stream, { createOnly: true });
      await begun;
      replaceFileSync(other, 'new', { createOnly: true });
      end();
      await expect(pending).rejects.toMatchObject({ code: 'EEXIST' });
      expect(contentsOf(other)).toBe('new');
      return ['file2'];
    });
  });

  test('replaceFile waits for a stream that came before it', async () => {
    await withFile(async (file) => {
      const { stream, end } = controlled();
      const order: string[] = [];
      const first = replaceFile(file, stream).then(() => order.push('stream'));
      const second = replaceFile(file, 'new').then(() => order.push('new'));
      const done = await mustBlock(second, 'a replace behind a stream');
      end();
      await Promise.all([first, done()]);
      expect(order).toEqual(['stream', 'new']);
      expect(contentsOf(file)).toBe('new');
      return undefined;
    });
  });

  test('replaceFile rejects with EDEADLK when the stream of a replace waits for it', async () => {
    await withFile(async (file) => {
      async function* chunks(): AsyncGenerator<Data> {
        await replaceFile(file, 'inner');
        yield 'outer';
      }
      await expect(replaceFile(file, chunks())).rejects.toMatchObject({ code: 'EDEADLK' });
      expect(contentsOf(file)).toBe(old);
      return undefined;
    });
  });

  test('replaceFile goes on when the call before it fails or is aborted', async () => {
    await withFile(async (file) => {
      const { stream, end, begun } = controlled();
      const controller = new AbortController();
      const reason = new Error('enough');
      const first = replaceFile(file, stream);
      await begun;
      const aborted = replaceFile(file, 'aborted', { signal: controller.signal });
      const failing = replaceFile(file, 'failing', { createOnly: true });
      const last = replaceFile(file, 'last');
      controller.abort(reason);
      // At once, while the first one is still on its way …
      await expect(aborted).rejects.toBe(reason);
      // … behind which the others stay.
      const done = await mustBlock(last, 'a replace behind an aborted one');
      expect(contentsOf(file)).toBe(old);
      end();
      await expect(failing).rejects.toMatchObject({ code: 'EEXIST' });
      await Promise.all([first, done()]);
      expect(contentsOf(file)).toBe('last');
      return undefined;
    });
  });

  test.runIf(has('symlinks'))(
    'replaceFile keeps the order when a file has two spellings',
    async () => {
      await withFile(async (file, directory) => {
        symlinkSync(directory, path.join(directory, 'same'));
        symlinkSync('file', path.join(directory, 'link'));
        const spellings: [string, { links?: 'follow' }][] = [
          [file, {}],
          [path.join(directory, 'same', 'file'), {}],
          [path.join(directory, 'link'), { links: 'follow' }],
          [`${directory}/same/../${path.basename(directory)}/same/link`, { links: 'follow' }],
        ];
        for (let round = 0; round < rounds; round++) {
          const calls = Array.from({ length: 12 }, (_, i) => {
            const [spelling, options] = spellings[(i * 7 + round) % spellings.length] ?? [file, {}];
            return replaceFile(spelling, `state ${i}`, { durability: 'none', ...options });
          });
          if (round % 2 === 1) replaceFileSync(file, 'state 11');
          await Promise.all(calls);
          expect(contentsOf(file)).toBe('state 11');
        }
        return ['link', 'same'];
      });
    },
  );

  test('replaceFile does not wait when another directory has a file of the same name', async () => {
    await withFile(async (file, directory) => {
      const other = path.join(directory, 'other', 'file');
      mkdirSync(path.dirname(other));
      const { stream, end } = controlled();
      const first = replaceFile(file, stream);
      await replaceFile(other, 'new');
      expect(contentsOf(file)).toBe(old);
      end();
      await first;
      return ['other'];
    });
  });

  test('lock.replaceFile, replaceFile and updateFile keep the order when they are pending together', async () => {
    await withFile(async (file) => {
      const held = await lock(file);
      const calls = [
        held.replaceFile('1', { durability: 'none' }),
        replaceFile(file, generate('2')),
        held.replaceFile('3', { durability: 'none' }),
      ];
      await Promise.all(calls);
      expect(contentsOf(file)).toBe('3');
      await held.release();
      for (let round = 0; round < rounds; round++) {
        writeFileSync(file, 'old');
        let replaced: Promise<unknown> | undefined;
        const updated = updateFile(file, (current) => {
          // Before the commit of this update, which then finds it.
          replaced ??= replaceFile(file, 'replaced', { durability: 'none' });
          return `${String(current)} updated`;
        });
        await updated;
        await replaced;
        expect(contentsOf(file)).toBe('replaced updated');
      }
      return ['.file.lock'];
    });
  });

  test('replaceFile with ifMatch rejects with ECONFLICT when a synchronous call overtakes it', async () => {
    await withFile(async (file) => {
      const read = await readRegularFile(file);
      const held = await lock(file);
      const identity = read?.identity ?? '';
      const swap = replaceFile(file, 'swapped', { ifMatch: { identity } });
      const done = await mustBlock(
        swap.catch((error: unknown) => error),
        'ifMatch',
      );
      replaceFileSync(file, 'new');
      await held.release();
      expect(await done()).toMatchObject({ code: 'ECONFLICT' });
      expect(contentsOf(file)).toBe('new');
      return ['.file.lock'];
    });
  });

  test('replaceFile leaves no temporary file when a synchronous call finishes it', async () => {
    await withFile(async (file, directory) => {
      const pending = Array.from({ length: 10 }, (_, i) => replaceFile(file, `state ${i}`));
      replaceFileSync(file, 'new');
      expect(readdirSync(directory)).toEqual(['file']);
      const results = await Promise.all(pending);
      expect(new Set(results.map(({ identity }) => identity)).size).toBe(10);
      expect(existsSync(file)).toBe(true);
      return undefined;
    });
  });
});
