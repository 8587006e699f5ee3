import { readdirSync } from 'node:fs';
import path from 'node:path';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { withStore } from './helpers/job-store.js';
import { atScale, limitAtScale } from './helpers/scale.js';

const awkward = [
  ...[
    '..',
    '.',
    '../../etc/passwd',
    '/etc/passwd',
    'C:\\Windows',
    '\\\\server\\share',
    'a/b',
    'a\\b',
  ],
  ...[
    'con',
    'CON',
    'nul',
    'COM1',
    'lpt9',
    'Job',
    'job',
    'JOB',
    'job.json',
    '.job-store',
    '.jobs-00.lock',
  ],
  ...[
    'a b',
    'a_b',
    'a:b',
    'a\nb',
    'a\0b',
    'é',
    'e\u0301',
    '\ud800',
    '\udfff',
    '😀',
    'x'.repeat(1024),
  ],
  ...[
    `a-${'0'.repeat(40)}`,
    '__proto__',
    'constructor',
    ' ',
    '~',
    '%2e%2e',
    '$(id)',
    '*',
    'a.',
    'a ',
  ],
];
const ids = fc.uniqueArray(
  fc.oneof(
    fc.constantFrom(...awkward),
    fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
    fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'A', '_', '-', '.', '/') }),
  ),
  { minLength: 1, maxLength: 8 },
);

test(
  'distinct ids never share anything, none leads out of the directory, and all are listed as they are',
  async () => {
    await fc.assert(
      fc.asyncProperty(ids, async (some) => {
        await withStore(async (store, directory) => {
          await Promise.all(some.map((id) => store.update(id, { mine: id }, { log: id })));
          for (const id of some) {
            expect(await store.read(id)).toMatchObject({ id, mine: id, logs: [id], revision: 1 });
          }
          expect(await store.list()).toEqual([...some].sort());
          expect(readdirSync(path.dirname(directory))).toEqual(['store']);
          const [first = ''] = some;
          expect(await store.remove(first)).toBe(true);
          expect(await store.list()).toEqual(some.slice(1).sort());
        });
      }),
      { numRuns: atScale(500, 10), examples: [[awkward]] },
    );
  },
  limitAtScale(60_000),
);
