import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, symlinkSync } from 'node:fs';
import { unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withChildren } from '../helpers/child.js';
import { commandFile } from '../helpers/command-line.js';
import { atScale } from '../helpers/scale.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

const names = ['renamed', 'flushed', 'attributed', 'lock', '.lock.lock'];

test.runIf(has('proc', 'symlinks'))(
  'holdfast doctor changes no file outside when its directory is swapped for a link',
  async () => {
    await withTemporaryDirectory(async (base) => {
      const shared = path.join(base, 'shared');
      const outside = path.join(base, 'outside');
      mkdirSync(shared);
      mkdirSync(outside);
      for (const name of names)
        writeFileSync(path.join(outside, name), 'precious', { mode: 0o640 });
      let exchanges = 0;
      const wanted = atScale(20_000, 200);
      while (exchanges < wanted) {
        await withChildren(async (children) => {
          const child = children.spawnNode([commandFile, 'doctor', '--json', shared]);
          const exit = child.waitForExit(60_000);
          const state = { ended: false };
          void exit.then(() => (state.ended = true));
          while (!state.ended) {
            exchanges += exchange(shared, outside);
            await new Promise((resolve) => setImmediate(resolve));
          }
          expect(await exit).toMatchObject({ signal: null });
        });
        for (const name of readdirSync(shared)) {
          renameSync(path.join(shared, name), path.join(base, `old-${name}`));
        }
      }
      for (const name of names) {
        expect(readFileSync(path.join(outside, name), 'utf8'), name).toBe('precious');
      }
      expect(readdirSync(outside).sort()).toEqual([...names].sort());
    });
  },
  60_000,
);

/** Puts a link to `outside` in the place of doctor's directory, and takes it away again. */
function exchange(shared: string, outside: string): number {
  const [name] = readdirSync(shared).filter((found) => found.startsWith('.holdfast-doctor-'));
  if (name === undefined) return 0;
  const place = path.join(shared, name);
  const away = path.join(shared, 'away');
  try {
    renameSync(place, away);
    symlinkSync(outside, place);
    const end = performance.now() + 2;
    while (performance.now() < end);
    unlinkSync(place);
    renameSync(away, place);
    return 2;
  } catch {
    // Removed meanwhile.
    try {
      rmdirSync(away);
    } catch {
      // It was not ours to remove.
    }
    return 0;
  }
}
