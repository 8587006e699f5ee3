// D. Other I/O of a process in which callers wait for a lock that another process holds.
import { lockersOf } from '../candidates/index.mjs';
import { inTurn, toTable } from '../measure.mjs';
import { measureWaiters } from './waiting.mjs';

export const title = 'Other I/O while waits are pending';

const columns = {
  'fs.readFile, slower by': ({ before, while: during }) => during / before,
  threads: ({ threads }) => threads,
  'CPU used': ({ cpuShare }) => cpuShare,
};

export async function measure({ rounds, places, has, directoryIn, quick }) {
  const [place] = places;
  const tables = [];
  for (const waiters of quick ? [8] : [8, 100]) {
    const measured = await inTurn(lockersOf('async').filter(has), rounds, (candidate, round) =>
      measureWaiters(candidate, directoryIn(place, `d-${waiters}-${round}-${candidate}`), {
        waiters,
        reads: quick ? 20 : 100,
        idle: quick ? 50 : 300,
      }),
    );
    tables.push(
      toTable(
        {
          id: `other-io-${waiters}`,
          title: `${waiters} callers wait, ${place}`,
          unit: '×, number, share of a processor',
          better: 'lower',
          columns: Object.keys(columns),
          valueOf: (sample, column) => columns[column](sample),
        },
        measured,
      ),
    );
  }
  return { tables, notes: [] };
}
