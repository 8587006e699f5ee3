// H. What a lock costs among how many lock files, and how many locks so many processes take together.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { inTurn, toTable } from '../measure.mjs';
import { inC, inNode, run, runTogether } from '../processes.mjs';
import { sameCalls } from './a-uncontended.mjs';

export const title = 'Many lock files, many processes';

export async function measure(settings) {
  return {
    tables: [
      await byLockFiles(settings),
      await byProcesses(settings, 'own', 'each with a lock of its own'),
      await byProcesses(settings, 'shared', 'all for one lock'),
    ],
    notes: [],
  };
}

async function byLockFiles({ rounds, span, places, directoryIn, quick }) {
  const counts = quick ? [1, 100] : [1, 100, 10_000, 100_000];
  const place = places.at(-1);
  const directories = new Map(
    counts.map((files) => {
      const directory = directoryIn(place, `h-${files}`);
      for (let at = 0; at < files; at++) {
        for (const suffix of ['lock', 'lock-c']) {
          writeFileSync(path.join(directory, `.target-${at}.${suffix}`), '', { mode: 0o600 });
        }
      }
      return [files, directory];
    }),
  );
  const measured = await inTurn([sameCalls, 'holdfast'], rounds, async (name) => {
    const result = {};
    for (const [files, directory] of directories) {
      const { count, nanoseconds } = await run(
        name === sameCalls
          ? inC('cycles', 'same', directory, files, span, 0)
          : inNode('cycles', {
              ...{ candidate: 'holdfast', form: 'async', directory, files, span, cycles: 0 },
            }),
      );
      result[files] = nanoseconds / count / 1000;
    }
    return result;
  });
  return toTable(
    {
      id: 'lock-files',
      title: `one lock and unlock among so many lock files, ${place}`,
      unit: 'µs',
      better: 'lower',
      reference: sameCalls,
      columns: counts.map(String),
      valueOf: (sample, files) => sample[files],
    },
    measured,
  );
}

async function byProcesses({ rounds, span, places, directoryIn, quick }, kind, words) {
  const counts = quick ? [1, 2] : [1, 4, 16, 64];
  const place = places.at(-1);
  const directory = directoryIn(place, `h-${kind}`);
  const measured = await inTurn(
    [sameCalls, 'holdfast'],
    quick ? 1 : Math.min(rounds, 5),
    async (name) => {
      const result = {};
      for (const processes of counts) {
        const commands = Array.from({ length: processes }, (_, at) => {
          const own = kind === 'own' ? directoryIn(place, `h-own-${at}`) : directory;
          return name === sameCalls
            ? inC('cycles', 'same', own, 1, span, 0, 'wait')
            : inNode('cycles', {
                ...{ candidate: 'holdfast', form: 'async', directory: own, files: 1 },
                ...{ span, cycles: 0, wait: true },
              });
        });
        const results = await runTogether(commands);
        result[processes] = results.reduce(
          (sum, each) => sum + (each.count / each.nanoseconds) * 1e9,
          0,
        );
      }
      return result;
    },
  );
  return toTable(
    {
      id: `processes-${kind}`,
      title: `locks of so many processes together, ${words}, ${place}`,
      unit: 'locks/s',
      better: 'higher',
      reference: sameCalls,
      columns: counts.map(String),
      valueOf: (sample, processes) => sample[processes],
    },
    measured,
  );
}
