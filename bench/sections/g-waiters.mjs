// G. Many callers of one process, for one lock that another process holds.
import { inTurn, toTable } from '../measure.mjs';
import { measureWaiters } from './waiting.mjs';

export const title = 'Waiters in one process';

/** How many each can be asked for: a thread for each, or a timer, has its limits. */
const most = { holdfast: 10_000, 'fs-native-extensions': 1000, 'proper-lockfile': 100 };

const figures = {
  memory: { unit: 'bytes of heap each', valueOf: ({ bytesEach }) => bytesEach },
  resident: { unit: 'bytes resident each', valueOf: ({ residentEach }) => residentEach },
  threads: { unit: 'threads', valueOf: ({ threads }) => threads },
  drain: {
    unit: 'µs each, from the release until all had the lock',
    valueOf: ({ drainMs }, waiters) => (drainMs * 1000) / waiters,
  },
  start: {
    unit: 'µs each, to begin to wait',
    valueOf: ({ startMs }, waiters) => (startMs * 1000) / waiters,
  },
};

export async function measure({ rounds, places, has, directoryIn, quick }) {
  const [place] = places;
  const counts = quick ? [1, 10] : [1, 10, 100, 1000, 10_000];
  const measured = await inTurn(Object.keys(most).filter(has), rounds, async (candidate, round) => {
    const result = {};
    for (const waiters of counts.filter((each) => each <= most[candidate])) {
      const directory = directoryIn(place, `g-${candidate}-${round}-${waiters}`);
      result[waiters] = await measureWaiters(candidate, directory, {
        waiters,
        reads: 20,
        idle: 50,
      });
    }
    return result;
  });
  const tables = Object.entries(figures).map(([id, { unit, valueOf }]) =>
    toTable(
      {
        id: `waiters-${id}`,
        title: `1 to ${counts.at(-1)} callers wait, ${place}`,
        unit,
        better: 'lower',
        columns: counts.map(String),
        valueOf: (sample, waiters) => sample[waiters] && valueOf(sample[waiters], Number(waiters)),
      },
      measured,
    ),
  );
  return { tables, notes: [] };
}
