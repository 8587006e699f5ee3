import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode, withChildren } from './helpers/child.js';
import { withExample } from './helpers/examples.js';
import { fill, withSmallTmpfs } from './helpers/mounts.js';

// examples/cli-cache: the product of two primes near a million takes a moment to take apart.
const number = '1000036000099';
const answer = `${number} = 1000003 x 1000033\n`;

test('of six runs that start at once one computes, and all know the answer', () =>
  withExample('cli-cache', (directory) =>
    withChildren(async (children) => {
      const cache = path.join(directory, 'cache');
      const start = () =>
        children.spawnNode(['factor.mjs', number], {
          cwd: directory,
          env: { FACTORS_DIRECTORY: cache },
        });
      const runs = Array.from({ length: 6 }, start);
      for (const run of runs) {
        expect(await run.waitForExit()).toEqual({ code: 0, signal: null });
        expect(run.stdout).toBe(answer);
      }
      const computed = runs.filter(({ stderr }) => stderr.includes('computing'));
      expect(computed).toHaveLength(1);
      expect(readdirSync(cache).sort()).toEqual([`.${number}.json.lock`, `${number}.json`]);
      expect(JSON.parse(readFileSync(path.join(cache, `${number}.json`), 'utf8'))).toEqual([
        '1000003',
        '1000033',
      ]);

      const later = start();
      expect(await later.waitForExit()).toEqual({ code: 0, signal: null });
      expect(later).toMatchObject({ stdout: answer, stderr: '' });
    }),
  ));

test.runIf(has('mountTmpfs'))('a cache on a full disk costs a word, and not the answer', () =>
  withExample('cli-cache', (directory) =>
    withSmallTmpfs(async (root) => {
      await fill(root);
      const before = readdirSync(root);
      const run = await runNode(['factor.mjs', number], {
        cwd: directory,
        env: { FACTORS_DIRECTORY: root },
      });
      expect(run).toMatchObject({ code: 0, signal: null, stdout: answer });
      expect(run.stderr).toMatch(/^computing\nwithout the cache: ENOSPC/);
      expect(readdirSync(root)).toEqual(before);
    }),
  ),
);
