// C. From one process's release to the other's grant.
import { candidates, lockersOf } from '../candidates/index.mjs';
import { inTurn, quantile, toTable } from '../measure.mjs';
import { inC, inNode, runTogether } from '../processes.mjs';
import { plainC, sameCalls } from './a-uncontended.mjs';

export const title = 'Hand-off between processes';

/** What a wait costs that does not block the thread which asked: another thread waits, and wakes it. */
export const throughThread = `${sameCalls}, through a thread`;
const waysInC = { [plainC]: 'plain', [sameCalls]: 'same', [throughThread]: 'thread' };

/** Milliseconds; long enough for the other's processor to have gone idle, and for one who polls to have begun to wait. */
const hold = 20;
const spread = 20;
const pause = 15;

export async function measure({ rounds, places, has, directoryIn, quick }) {
  const turns = quick ? 3 : 20;
  const [place] = places;
  const directory = directoryIn(place, 'c');
  const forms = new Map();
  for (const form of ['async', 'sync']) {
    for (const candidate of lockersOf(form).filter(has)) {
      if (form === 'sync' && candidates[candidate].polls) continue;
      forms.set(`${candidate} (${form})`, { candidate, form });
    }
  }
  const measured = await inTurn(
    [...Object.keys(waysInC), ...forms.keys()],
    rounds,
    async (name) => {
      const form = forms.get(name);
      const command =
        form === undefined
          ? inC('hand_off', waysInC[name], directory, turns, hold, spread, pause)
          : inNode('hand-off', { ...form, directory, turns, hold, spread, pause });
      const [one, other] = await runTogether([command, command]);
      return handOffs(one.turns, other.turns);
    },
  );
  // Of all rounds together: one alone has too few for a percentile.
  const together = new Map(
    [...measured.samples].map(([name, samples]) => [name, samples.flat().sort((a, b) => a - b)]),
  );
  const columns = { p50: 0.5, p90: 0.9, p99: 0.99 };
  const table = toTable(
    {
      id: 'hand-off',
      title: `release to grant, ${place}`,
      unit: 'µs',
      better: 'lower',
      reference: plainC,
      columns: Object.keys(columns),
      valueOf: (sample, column) =>
        quantile(
          [...sample].sort((a, b) => a - b),
          columns[column],
        ),
    },
    measured,
  );
  for (const { name, cells } of table.rows) {
    Object.values(columns).forEach((share, at) => {
      const overall = quantile(together.get(name), share);
      cells[at].ratio.median = overall / quantile(together.get(plainC), share);
      cells[at].median = overall;
    });
  }
  return {
    tables: [table],
    notes: [
      `The figures are of all ${together.get(plainC).length} hand-offs together, their ranges of the rounds. ` +
        'In none of them did two processes have the lock at once.',
    ],
  };
}

/** Microseconds of every change of holder. */
function handOffs(one, other) {
  const turns = [
    ...one.map(([began, ended]) => ({ began, ended, who: 1 })),
    ...other.map(([began, ended]) => ({ began, ended, who: 2 })),
  ].sort((a, b) => a.began - b.began);
  const times = [];
  for (let at = 1; at < turns.length; at++) {
    const [last, next] = [turns[at - 1], turns[at]];
    if (next.began < last.ended) throw new Error('two processes had the lock at once');
    // Who ends first leaves the other one alone.
    if (last.who !== next.who) times.push((next.began - last.ended) / 1000);
  }
  return times;
}
