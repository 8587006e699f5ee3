// A. One lock and its release, while nobody else wants it.
import { callsOfCycle, compareCalls, lockCycle, lockCycleInC, whyNoLock } from '../checks.mjs';
import { lockersOf } from '../candidates/index.mjs';
import { inTurn, toTable } from '../measure.mjs';
import { inC, inNode, run } from '../processes.mjs';

export const title = 'Uncontended lock and unlock';

export const sameCalls = 'C, same system calls';
export const plainC = 'C, open flock close';

export async function measure({ rounds, span, places, has, directoryIn, quick }) {
  const forms = new Map();
  for (const form of ['sync', 'async']) {
    for (const candidate of lockersOf(form).filter(has)) {
      forms.set(`${candidate} (${form})`, { candidate, form });
    }
  }
  const refused = await refuseNoLocks(forms, directoryIn(places[0], 'locks'));
  const tables = [];
  for (const place of places) {
    const directory = directoryIn(place, 'a');
    const measureOne = async (name) => {
      const { candidate, form } = forms.get(name) ?? {};
      const { count, nanoseconds } = await run(
        candidate === undefined
          ? inC('cycles', name === plainC ? 'plain' : 'same', directory, 1, span, 0)
          : inNode('cycles', { candidate, form, directory, files: 1, span, cycles: 0 }),
      );
      return nanoseconds / count / 1000;
    };
    const measured = await inTurn(
      [sameCalls, plainC, ...forms.keys()],
      rounds,
      measureOne,
      new Map(refused),
    );
    tables.push(
      toTable(
        {
          id: `uncontended-${place}`,
          title: `one lock and unlock, ${place}`,
          unit: 'µs',
          better: 'lower',
          reference: sameCalls,
          columns: ['a cycle'],
          valueOf: (sample) => sample,
        },
        measured,
      ),
    );
  }
  const directory = directoryIn(places[0], 'calls');
  const inProgram = quick ? null : callsOfCycle(lockCycleInC(directory), directory);
  const notes = quick
    ? []
    : ['sync', 'async'].map((form) =>
        compareCalls(
          `lock and unlock, ${form}`,
          callsOfCycle(lockCycle(form, directory), directory),
          inProgram,
        ),
      );
  return { tables, notes };
}

/** What each form of a candidate that does not lock is refused for. */
async function refuseNoLocks(forms, directory) {
  const refused = new Map();
  const checked = new Map();
  for (const [name, { candidate }] of forms) {
    if (!checked.has(candidate)) checked.set(candidate, await whyNoLock(candidate, directory));
    const why = checked.get(candidate);
    if (why !== null) refused.set(name, why);
  }
  return refused;
}
