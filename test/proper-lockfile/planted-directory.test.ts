import {
  existsSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { lock } from 'holdfast/proper-lockfile';
import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

const stale = 5000;

describe.runIf(has('symlinks'))('a link where the directory of a lock is looked for', () => {
  test.each(['directory', 'file', 'absent'])(
    'is refused however old it is, and what it leads to is left alone: %s',
    async (kind) => {
      await withTemporaryDirectory(async (place) => {
        const file = path.join(place, 'file');
        const victim = path.join(place, 'victim');
        writeFileSync(file, '');
        if (kind === 'directory') mkdirSync(victim);
        if (kind === 'file') writeFileSync(victim, 'precious');
        // As old as a dead holder's.
        if (kind !== 'absent') utimesSync(victim, 1, 1);
        symlinkSync(victim, `${file}.lock`);
        await expect(lock(file, { stale })).rejects.toMatchObject({ code: 'ELOOP' });
        expect(lstatSync(`${file}.lock`).isSymbolicLink()).toBe(true);
        expect(existsSync(victim)).toBe(kind !== 'absent');
        if (kind !== 'absent') expect(statSync(victim).mtimeMs).toBe(1000);
      });
    },
  );
});
