/** The benchmark runs, and does not rank who does not do the work. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { fixturesDirectory, projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

interface Table {
  id: string;
  columns: string[];
  rows: { name: string; cells: ({ median: number } | null)[] }[];
  refused: { name: string; reason: string }[];
}

interface Results {
  sections: { name: string; tables: Table[]; notes: string[] }[];
  targets: { text: string; value: number }[];
}

/** Measures these sections once, hardly longer than they take to start. */
async function bench(sections: string[], candidates: string[]): Promise<Results> {
  return withTemporaryDirectory(async (directory) => {
    const output = path.join(directory, 'results.json');
    const options = ['--quick', '--directory', directory, '--candidates', candidates.join(',')];
    const exit = await runNode(
      [
        path.join(projectDirectory, 'bench', 'run.mjs'),
        ...sections,
        ...options,
        '--output',
        output,
      ],
      { timeout: 110_000 },
    );
    expect(exit, exit.stdout + exit.stderr).toMatchObject({ code: 0, signal: null });
    return JSON.parse(readFileSync(output, 'utf8')) as Results;
  });
}

const fixture = (name: string) => path.join(fixturesDirectory, name);

describe.runIf(has('gcc', 'proc'))('the benchmark', () => {
  test('measures every section', { timeout: 120_000 }, async () => {
    const sections = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J'];
    const results = await bench(sections, ['holdfast', 'node:fs']);

    expect(results.sections.map(({ name }) => name)).toEqual(sections);
    for (const { id, columns, rows, refused } of results.sections.flatMap(({ tables }) => tables)) {
      expect(refused, id).toEqual([]);
      const own = rows.filter(({ name }) => name.startsWith('holdfast'));
      expect(own, id).not.toEqual([]);
      for (const { name, cells } of own) {
        expect(cells, `${id}, ${name}`).toHaveLength(columns.length);
        const figures = cells.flatMap((cell) => cell?.median ?? []);
        expect(figures, `${id}, ${name}`).not.toEqual([]);
        expect(figures.every(Number.isFinite), `${id}, ${name}`).toBe(true);
      }
    }
    expect(results.targets).not.toEqual([]);
  });

  test(
    'does not rank who does not lock, shows files half written, or flushes nothing',
    { timeout: 120_000 },
    async () => {
      const cheat = fixture('cheating-candidate.mjs');
      const forgetful = fixture('forgetful-candidate.mjs');
      const results = await bench(['A', 'E'], ['holdfast', cheat, forgetful]);
      const reasons = results.sections.flatMap(({ tables }) =>
        tables.flatMap(({ refused }) => refused.map(({ name, reason }) => `${name}: ${reason}`)),
      );

      expect(reasons.join('\n')).toContain(`${cheat} (async): two processes had the lock at once`);
      expect(reasons.join('\n')).toMatch(/saw a torn file/);
      if (has('strace')) {
        expect(reasons).toContain(`${forgetful}: 0 flushes for 20 replaces (20 are needed)`);
      }
      const ranked = results.sections.flatMap(({ tables }) => tables.flatMap(({ rows }) => rows));
      expect(ranked.map(({ name }) => name).filter((name) => name.startsWith(cheat))).toEqual([]);
    },
  );
});
