import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { numberOf } from './fixtures/numbered-contents.cjs';
import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

const processes = 8;

describe.runIf(has('replaceOpenFiles')).each(worlds)(
  'many processes that replace one file, $world',
  ({ world, options }) => {
    test.each(['sync', 'async'])(
      'tear nothing, are never refused and leave nothing: %s',
      async (form) => {
        const times = atScale(2000, 100);
        await withTemporaryDirectory(async (directory) =>
          withChildren(async (children) => {
            const file = path.join(directory, 'file');
            const replacing = Array.from({ length: processes }, (_, index) => {
              const args = [file, `${index * times}`, '{"durability":"none"}', form, `${times}`];
              const program = ['test/fixtures/replace-endlessly.cjs', ...args];
              return children.spawnNode(program, options);
            });
            // One may have ended before another is ready.
            const rest = new Set(replacing);
            for (const child of replacing) {
              void child.process.once('close', () => rest.delete(child));
            }
            await Promise.all(replacing.map((child) => child.waitForOutput(/ready/)));
            let reads = 0;
            for (; rest.size > 0; reads++) {
              expect(numberOf(await readFile(file))).toBeDefined();
            }
            for (const child of replacing) {
              expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
              expect(child.stderr).toBe('');
            }
            expect(await readdir(directory)).toEqual(['file']);
            printFigure(
              `${processes} x ${times} replaces of one file, ${world}, ${form}: ${reads} whole reads`,
            );
          }),
        );
      },
      limitAtScale(30_000),
    );
  },
);
