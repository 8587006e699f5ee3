import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const processes = 4;
const times = atScale(2000, 150);

/** One time that a process was inside; times are nanoseconds of the machine's monotonic clock. */
interface Entry {
  calledAt: number;
  enteredAt: number;
  /** When the last verify() that passed began; 0 if none did. */
  verifiedFrom: number;
  releasedFrom: number;
  ino: number;
  lost: boolean;
  token: number;
}

/** One time that the lock file lost its name. */
interface Act {
  name: string;
  ino: number;
  takenAwayAt: number;
}

/**
 * Pairs of entries that were inside at once, each from its grant to its `end`.
 *
 * No file comes back once it was taken away. So a lock whose file was in its place when the lock was granted, and again
 * at a later verify(), was in its place all the time between; and two locks of one time cannot both be.
 */
function overlaps(
  entries: readonly Entry[],
  end: 'verifiedFrom' | 'releasedFrom',
): [Entry, Entry][] {
  const found: [Entry, Entry][] = [];
  let last: Entry | undefined;
  for (const entry of entries.toSorted((a, b) => a.enteredAt - b.enteredAt)) {
    if (entry.verifiedFrom === 0) continue;
    if (last !== undefined && last[end] >= entry.enteredAt) found.push([last, entry]);
    if (last === undefined || entry[end] > last[end]) last = entry;
  }
  return found;
}

/**
 * Entries whose lock can only have been granted when its file had lost its name: who was called, or whose predecessor
 * on the same file began to release, after that.
 */
function enteredTooLate(entries: readonly Entry[], acts: readonly Act[]): Entry[] {
  const takenAwayAt = new Map(acts.map((act) => [act.ino, act.takenAwayAt]));
  const lastRelease = new Map<number, number>();
  const found: Entry[] = [];
  for (const entry of entries.toSorted((a, b) => a.enteredAt - b.enteredAt)) {
    const { ino, calledAt, releasedFrom } = entry;
    const notBefore = Math.max(calledAt, lastRelease.get(ino) ?? 0);
    if (notBefore > (takenAwayAt.get(ino) ?? Infinity)) found.push(entry);
    lastRelease.set(ino, releasedFrom);
  }
  return found;
}

test.runIf(has('unlinkOpenFiles', 'renameOverOpenFiles'))(
  'while an outsider removes, renames and replaces the lock file, nobody enters on one that was taken away, and no two are verified at once',
  () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const target = path.join(directory, 'file');
        const contenders = Array.from({ length: processes }, (_, index) =>
          children.fork('contender.mjs', {
            args: [target, String(times), index % 2 === 0 ? 'lock' : 'lockSync'],
          }),
        );
        const outsider = children.fork('outsider.mjs', {
          args: [path.join(directory, '.file.lock')],
        });
        await Promise.all([...contenders, outsider].map((child) => child.waitForMessage('ready')));
        const started = performance.now();
        for (const child of contenders) child.send('go');
        const logs = await Promise.all(
          contenders.map((child) => child.waitForMessage('done', limitAtScale(25_000))),
        );
        const duration = performance.now() - started;
        outsider.send('stop');
        const acts = (await outsider.waitForMessage('done')).log as Act[];
        for (const child of [...contenders, outsider]) {
          expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
          expect(child.stderr).toBe('');
        }

        const entries = logs.flatMap((log) => log.entries as Entry[]);
        const lost = entries.filter((entry) => entry.lost);
        const verified = entries.filter(({ verifiedFrom }) => verifiedFrom > 0);
        const usedAway = new Set(acts.map(({ ino }) => ino));
        const hit = new Set(entries.map(({ ino }) => ino).filter((ino) => usedAway.has(ino)));
        printFigure(
          `${entries.length} entries in ${(duration / 1000).toFixed(1)} s while the lock file was ` +
            `taken away ${acts.length} times (${hit.size} of them had been locked): ` +
            `${verified.length} were verified, ${lost.length} found themselves lost, and ` +
            `${overlaps(entries, 'releasedFrom').length} times two were inside at once`,
        );
        expect(entries).toHaveLength(processes * times);
        // The outsider was at it all the time, and met holders.
        expect(hit.size).toBeGreaterThan(10);
        expect(lost.length).toBeGreaterThan(0);

        expect(overlaps(entries, 'verifiedFrom')).toEqual([]);
        expect(enteredTooLate(entries, acts)).toEqual([]);
        const tokens = verified.sort((a, b) => a.enteredAt - b.enteredAt).map(({ token }) => token);
        const backwards = tokens.filter((token, index) => token <= (tokens[index - 1] ?? 0));
        expect(backwards).toEqual([]);
      }),
    ),
  limitAtScale(30_000),
);
