// B. Eight processes that increment one number in a file, each time under the lock.
import { candidates, lockersOf } from '../candidates/index.mjs';
import { checkCounter, resetCounter } from '../checks.mjs';
import { inTurn, toTable } from '../measure.mjs';
import { inC, inNode, runTogether } from '../processes.mjs';
import { plainC, sameCalls } from './a-uncontended.mjs';

export const title = 'Eight processes increment a number';

const processes = 8;

export async function measure({ rounds, places, has, directoryIn, quick }) {
  const [place] = places;
  // One whose processes sleep between two tries takes seconds for the larger number.
  const all = namesOf(() => true, has);
  const native = namesOf((name) => !candidates[name].polls, has);
  const sizes = quick
    ? [[20, all]]
    : [
        [200, all],
        [2000, native],
      ];
  const tables = [];
  for (const [increments, forms] of sizes) {
    const directory = directoryIn(place, `b-${increments}`);
    const measured = await inTurn([plainC, sameCalls, ...forms.keys()], rounds, async (name) => {
      resetCounter(directory);
      const command = commandOf(name, forms.get(name), directory, increments);
      const times = await runTogether(Array.from({ length: processes }, () => command));
      checkCounter(directory, processes * increments);
      return (
        (Math.max(...times.map(({ end }) => end)) - Math.min(...times.map((each) => each.start))) /
        1e6
      );
    });
    tables.push(
      toTable(
        {
          id: `increments-${increments}`,
          title: `8 × ${increments} increments, ${place}`,
          unit: 'ms',
          better: 'lower',
          reference: plainC,
          columns: ['wall time'],
          valueOf: (sample) => sample,
        },
        measured,
      ),
    );
  }
  return { tables, notes: ['No candidate in these tables lost an update.'] };
}

function namesOf(filter, has) {
  const forms = new Map();
  for (const form of ['async', 'sync']) {
    for (const candidate of lockersOf(form).filter(has).filter(filter)) {
      // Their blocking forms do not wait: they fail.
      if (form === 'sync' && candidates[candidate].polls) continue;
      forms.set(`${candidate} (${form})`, { candidate, form });
    }
  }
  return forms;
}

function commandOf(name, form, directory, increments) {
  return form === undefined
    ? inC('increments', name === plainC ? 'plain' : 'same', directory, increments)
    : inNode('increments', { ...form, directory, increments });
}
