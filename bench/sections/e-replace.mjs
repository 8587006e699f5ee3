// E. Atomic replace.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { candidates, replacersOf } from '../candidates/index.mjs';
import {
  callsOfCycle,
  compareCalls,
  replaceCycle,
  replaceCycleInC,
  whyNoReplace,
} from '../checks.mjs';
import { inTurn, toTable } from '../measure.mjs';
import { inC, inNode, run } from '../processes.mjs';
import { sameCalls } from './a-uncontended.mjs';

export const title = 'Atomic replace';

export const plainC = 'C, write and rename';
const small = 4096;
const sizes = { '100 B': 100, '4 KiB': small, '1 MiB': 2 ** 20, '64 MiB': 2 ** 26 };
const programs = new Map([
  [plainC, 'plain'],
  [sameCalls, 'same'],
]);

export async function measure(settings) {
  const { places, quick, directoryIn } = settings;
  const [disk] = places;
  const tables = [];
  const refusals = new Map();
  const combinations = places.flatMap((place) =>
    (place === disk ? ['none', 'file', 'full'] : ['none']).map((durability) => [place, durability]),
  );
  for (const [place, durability] of quick ? [[disk, 'file']] : combinations) {
    for (const form of ['sync', 'async']) {
      tables.push(await alone(settings, place, durability, form, refusals));
    }
    if (durability !== 'full') tables.push(await together(settings, place, durability, refusals));
  }
  const notes = [];
  if (!quick) {
    for (const durability of ['none', 'file', 'full']) {
      const directory = directoryWithTarget(directoryIn(disk, `calls-${durability}`));
      notes.push(
        compareCalls(
          `replace, durability ${durability}`,
          callsOfCycle(replaceCycle(durability, directory), directory),
          callsOfCycle(replaceCycleInC(durability, directory), directory),
        ),
      );
    }
  }
  return { tables, notes };
}

/** One after the other, in each size. */
async function alone(
  { rounds, span: whole, has, directoryIn, quick },
  place,
  durability,
  form,
  refusals,
) {
  // For each of four sizes.
  const span = whole / 2;
  const names = replacersOf(form, durability).filter(has);
  const refused = await refuse(names, form, durability, directoryIn(place, 'check'), refusals);
  const columns = quick ? ['4 KiB'] : Object.keys(sizes);
  const measured = await inTurn(
    [sameCalls, plainC, ...names],
    rounds,
    async (name) => {
      const directory = directoryWithTarget(directoryIn(place, `e-${form}`));
      const result = programs.has(name)
        ? await ofC(programs.get(name), durability, directory, columns, span)
        : await run(
            inNode('replace', {
              ...{ candidate: name, form, durability, directory, span, most: 1e9, count: 0 },
              sizes: columns.map((column) => sizes[column]),
            }),
          );
      checkLeftovers(directory);
      return result;
    },
    refused,
  );
  return toTable(
    {
      id: `replace-${place}-${durability}-${form}`,
      title: `replace, ${form}, ${place}, ${durabilityInWords[durability]}`,
      unit: 'replaces/s',
      better: 'higher',
      reference: sameCalls,
      columns,
      valueOf: (sample, column) => rate(sample[sizes[column]]),
    },
    measured,
  );
}

async function ofC(kind, durability, directory, columns, span) {
  const result = {};
  for (const column of columns) {
    const size = sizes[column];
    result[size] = await run(inC('replace', kind, durability, directory, size, span, 0));
  }
  return result;
}

/** A hundred at once: of as many files, of one file, and updates of one file. */
async function together({ rounds, has, directoryIn, quick }, place, durability, refusals) {
  const count = quick ? 10 : 100;
  const names = replacersOf('async', durability).filter(has);
  const refused = await refuse(names, 'async', durability, directoryIn(place, 'check'), refusals);
  const columns = { [`${count} files`]: count, 'one file': 1 };
  const updates = 'holdfast, updateFile';
  const measured = await inTurn(
    [sameCalls, updates, ...names],
    rounds,
    async (name) => {
      const result = {};
      for (const [column, files] of Object.entries(columns)) {
        if (name === updates && files > 1) continue;
        const directory = directoryWithTarget(directoryIn(place, `e-many-${files}`), files);
        result[column] = programs.has(name)
          ? await run(
              inC(
                'replace',
                'same',
                durability,
                directory,
                small,
                0,
                count,
                4,
                files > 1 ? 'many' : 'one',
              ),
            )
          : await run(
              inNode('replace-many', {
                candidate: name === updates ? 'holdfast' : name,
                ...{ durability, directory, size: small, count, files, updates: name === updates },
              }),
            );
        checkLeftovers(directory);
      }
      return result;
    },
    refused,
  );
  return toTable(
    {
      id: `replace-many-${place}-${durability}`,
      title: `${count} replaces of 4 KiB at once, ${place}, ${durabilityInWords[durability]}`,
      unit: 'replaces/s',
      better: 'higher',
      reference: sameCalls,
      columns: Object.keys(columns),
      valueOf: (sample, column) => sample[column] && rate(sample[column]),
      coalescing: names.filter((name) => candidates[name].coalesces),
    },
    measured,
  );
}

const durabilityInWords = {
  none: 'no flush',
  file: 'file flushed',
  full: 'file and directory flushed',
};

const rate = ({ count, nanoseconds }) => (count / nanoseconds) * 1e9;

async function refuse(names, form, durability, directory, known) {
  const refused = new Map();
  for (const name of names) {
    const key = `${name} ${form} ${durability}`;
    if (!known.has(key)) {
      known.set(key, await whyNoReplace(name, form, durability, directory).catch((e) => e.message));
    }
    if (known.get(key) !== null) refused.set(name, known.get(key));
  }
  return refused;
}

/** What is replaced exists already, and nothing else is in its directory. */
function directoryWithTarget(directory, files = 1) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (let at = 0; at < files; at++) {
    writeFileSync(path.join(directory, `target-${at}`), 'old', { mode: 0o600 });
  }
  return directory;
}

function checkLeftovers(directory) {
  const left = readdirSync(directory).filter((name) => !/^target-\d+$|\.lock$/.test(name));
  if (left.length > 0) throw new Error(`left behind: ${left.slice(0, 3).join(', ')}`);
}
