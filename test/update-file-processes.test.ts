import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { lock, readRegularFile, updateFile } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { atScale, limitAtScale, ms, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

async function withFile(use: (file: string, directory: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory((directory) => use(path.join(directory, 'counter'), directory));
}

test(
  'of the increments of eight processes none is lost, in whatever form they are made',
  async () => {
    await withFile(async (file, directory) => {
      const rounds = atScale(500, 60);
      await withChildren(async (children) => {
        const counters = ['async', 'sync', 'json', 'async', 'sync', 'json', 'async', 'sync'].map(
          (form) => children.fork('update-counter.mjs', { args: [file, `${rounds}`, form] }),
        );
        await Promise.all(counters.map((child) => child.waitForMessage('ready')));
        const start = performance.now();
        for (const child of counters) child.send('go');
        for (const child of counters) {
          await child.waitForMessage('done', limitAtScale(20_000));
          expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        }
        const total = rounds * counters.length;
        expect(Number(readFileSync(file, 'utf8'))).toBe(total);
        const each = (performance.now() - start) / total;
        printFigure(`8 processes x ${rounds} updates: none lost, ${ms(each)} each`);
      });
      expect(readdirSync(directory).sort()).toEqual(['.counter.lock', 'counter']);
    });
  },
  limitAtScale(30_000),
);

test('a thousand updates at once lose nothing, share few commits, and let another process in', async () => {
  await withFile(async (file, directory) => {
    writeFileSync(file, '0');
    await withLockAgents(async (agents) => {
      const other = await agents.process();
      const held = await lock(file);
      const states = new Set<string>();
      const addOne = (current: Buffer | null): string => {
        const { ino, ctimeNs } = statSync(file, { bigint: true });
        states.add(`${ino} ${ctimeNs}`);
        return String(Number(current) + 1);
      };
      const start = performance.now();
      const updates = Promise.all(Array.from({ length: 1000 }, () => updateFile(file, addOne)));
      const granted = await mustBlock(other.lock(file), 'the lock that is ours');
      await held.release();

      const theirs = await granted();
      const seen = Number(readFileSync(file, 'utf8'));
      await theirs.release();
      const results = await updates;
      const elapsed = performance.now() - start;
      // What each call resolves with is what its round has committed.
      expect(results.every((contents) => Number(contents) >= 1)).toBe(true);
      expect(readFileSync(file, 'utf8')).toBe('1000');
      expect(states.size).toBeLessThanOrEqual(50);
      expect(seen).toBeLessThan(1000);
      printFigure(
        `1,000 updates at once: ${states.size} commits, ${ms(elapsed)}; another process came in after ${seen}`,
      );
    });
    expect(readdirSync(directory).sort()).toEqual(['.counter.lock', 'counter']);
  });
});

test.runIf(has('kernelLockWaits'))(
  'a round of slow functions ends after a while, so that another process comes in',
  async () => {
    await withFile(async (file) => {
      await withLockAgents(async (agents) => {
        const other = await agents.process();
        let inside!: () => void;
        const firstInside = new Promise<void>((resolve) => (inside = resolve));
        const updates = Promise.all(
          Array.from({ length: 40 }, () =>
            updateFile(file, async (current) => {
              inside();
              await new Promise((resolve) => setTimeout(resolve, 10));
              return String(Number(current) + 1);
            }),
          ),
        );
        await firstInside;
        const granted = await mustBlock(other.lock(file), 'the lock of a round');
        const theirs = await granted();
        const seen = Number((await readRegularFile(file))?.contents ?? 0);
        await theirs.release();
        await updates;
        expect(seen).toBeGreaterThan(0);
        expect(seen).toBeLessThan(40);
        expect(readFileSync(file, 'utf8')).toBe('40');
      });
    });
  },
);
