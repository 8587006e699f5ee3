import { describe, expect, test } from 'vitest';

import { has } from '../test/helpers/capabilities.js';
import { campaign, report } from './campaign.js';
import { alone, combined, nothing, stop } from './nemeses.js';
import { seed, share, timeLimit } from './plan.js';

const each = share(0.6) / (alone.length + combined.length);

describe('the promises hold under', () => {
  let updates = 0;
  for (const [index, nemesis] of [...alone, ...combined].entries()) {
    test.runIf(has(...(nemesis.needs ?? [])))(
      nemesis.name,
      async () => {
        const result = await campaign(nemesis, each, seed + index);
        const { violations: all, ...row } = result;
        // A commit may come before the end of its lock, and its acknowledgement after it: that alone judges a seeded fault only.
        // What such a write would spoil, the other rules find.
        const violations = all.filter((what) => !what.startsWith('no write of an ended lock'));
        report('nemesis', { ...row, violations: violations.length });
        expect(violations, violations[0]).toEqual([]);
        updates += result.writes;
      },
      timeLimit,
    );
  }

  // Under one of them, on a slow machine, there may be none.
  test('all of them together, while updates are made', () => {
    expect(updates).toBeGreaterThan(0);
  });
});

const faults = [
  { fault: 'no-op lock', nemesis: nothing, rule: 'mutual exclusion' },
  { fault: 'truncating replace', nemesis: nothing, rule: 'whole contents' },
  { fault: 'lost update', nemesis: nothing, rule: 'no lost update' },
  { fault: 'stale write after loss', nemesis: stop, rule: 'no write after loss' },
  { fault: 'late write of an ended lock', nemesis: nothing, rule: 'no write of an ended lock' },
  { fault: 'calls that overtake', nemesis: nothing, rule: 'order within a thread' },
  { fault: "another call's result", nemesis: nothing, rule: 'own result' },
];

describe('the checker finds a', () => {
  test.runIf(has('signals')).each(faults)(
    '$fault',
    async ({ fault, nemesis, rule }) => {
      let found: string[] = [];
      let runs = 0;
      // Each does its harm by chance.
      while (runs < 20 && found.length === 0) {
        runs += 1;
        const { violations } = await campaign(nemesis, share(0.1) / faults.length, seed + runs, {
          fault,
        });
        found = violations.filter((violation) => violation.startsWith(rule));
      }
      report('seeded fault', { fault, 'found by': rule, violations: found.length, runs });
      expect(found).not.toEqual([]);
    },
    timeLimit,
  );
});
