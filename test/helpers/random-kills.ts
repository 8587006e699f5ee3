import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { readRegularFileSync, replaceFileSync } from 'holdfast';
import type { ReplaceSyncOptions } from 'holdfast';
import { expect } from 'vitest';

import { contentsOf, numberOf } from '../fixtures/numbered-contents.cjs';
import type { ChildOptions } from './child.js';
import { withChildren } from './child.js';
import { Histogram } from './histogram.js';
import { inTwos } from './in-twos.js';
import { describeLeft } from './killed-replaces.js';
import { printFigure } from './scale.js';
import { withTemporaryDirectory } from './temporary-directory.js';

/** How a process replaces until it is killed. */
export interface Replacing {
  options: ReplaceSyncOptions;
  form: 'sync' | 'async';
}

/** Both forms, and every durability. */
export const replacings: readonly Replacing[] = [
  { options: { durability: 'none' }, form: 'sync' },
  { options: {}, form: 'async' },
  { options: { durability: 'full' }, form: 'sync' },
];

interface RandomKills {
  /** What is printed of them. */
  name: string;
  count: number;
  ways: readonly Replacing[];
  /** Options of the processes that are killed. */
  process?: ChildOptions;
  /** Looks at what the kill has left: before anybody reads the file by holdfast, after that, and after the next replace. */
  check?: Partial<
    Record<'killed' | 'read' | 'replaced', (directory: string, before: number) => void>
  >;
  /** Comes at the end, once for each directory. */
  end?: (directory: string) => Promise<void>;
}

/**
 * Kills processes at random moments while they replace a file again and again. Each time a read by holdfast finds whole
 * contents that the process wrote, which every reader finds then.
 */
export async function killAtRandom({
  name,
  count,
  ways,
  process = {},
  check = {},
  end,
}: RandomKills): Promise<void> {
  const histogram = new Histogram();
  const each = Math.ceil(count / 2);
  await withChildren(async (children) => {
    await inTwos(['one', 'other'], async () => {
      await withTemporaryDirectory(async (directory) => {
        const file = path.join(directory, 'file');
        let number = 0;
        replaceFileSync(file, contentsOf(number, 1000));
        for (let kill = 0; kill < each; kill++) {
          const { options, form } = ways[kill % ways.length] ?? {};
          const args = [file, `${number + 1}`, JSON.stringify(options), String(form)];
          const program = ['test/fixtures/replace-endlessly.cjs', ...args];
          const child = children.spawnNode(program, process);
          await child.waitForOutput(/ready/);
          await sleep(Math.random() * 10);
          child.kill('SIGKILL');
          expect(await child.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });

          histogram.add(describeLeft(directory));
          check.killed?.(directory, number);
          const found = numberOf(readRegularFileSync(file)?.contents ?? Buffer.alloc(0));
          // Not the one that the process has found there: it has replaced that.
          expect(found).toBeGreaterThan(number);
          expect(numberOf(readFileSync(file))).toBe(found);
          check.read?.(directory, number);
          number = (found ?? 0) + 1;
          replaceFileSync(file, contentsOf(number, 1000));
          check.replaced?.(directory, number);
        }
        await end?.(directory);
      });
    });
  });
  printFigure(`${2 * each} kills of ${name} at random moments: ${String(histogram)}`);
}
