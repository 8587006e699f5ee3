// F. What it takes to load a package, and what is installed with it.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { candidates } from '../candidates/index.mjs';
import { inTurn, toTable } from '../measure.mjs';
import { inNode, run } from '../processes.mjs';

export const title = 'Load time, size and dependencies';

const project = fileURLToPath(new URL('../../', import.meta.url));
const modules = fileURLToPath(new URL('../node_modules/', import.meta.url));
const nothing = 'an empty module';

export async function measure({ rounds, has, quick }) {
  const entries = new Map([[nothing, 'data:text/javascript,']]);
  for (const [name, { package: wanted }] of Object.entries(candidates)) {
    if (wanted === undefined || !has(name)) continue;
    entries.set(name, entryOf(wanted));
  }
  const measured = await inTurn([...entries.keys()], quick ? 1 : rounds * 3, async (name) => {
    const { milliseconds } = await run(inNode('import', { specifier: entries.get(name) }));
    return milliseconds;
  });
  const load = toTable(
    {
      id: 'load',
      title: 'import() in a fresh process',
      unit: 'ms',
      better: 'lower',
      columns: ['import'],
      valueOf: (sample) => sample,
    },
    measured,
  );
  const columns = ['KiB', 'files', 'packages'];
  const measuredSizes = {
    samples: new Map(
      [...entries.keys()]
        .filter((name) => name !== nothing)
        .map((name) => [name, [sizeOf(candidates[name].package)]]),
    ),
    refused: new Map(),
  };
  const size = toTable(
    {
      id: 'size',
      title: 'installed, with all dependencies',
      unit: 'KiB, files, packages',
      better: 'lower',
      columns,
      valueOf: (sample, column) => sample[column],
    },
    measuredSizes,
  );
  return { tables: [load, size], notes: [binaries()] };
}

function entryOf(name) {
  if (name === 'holdfast') return pathToFileURL(path.join(project, 'dist/index.js')).href;
  // As a program would load it, from where it is installed.
  return name === 'lowdb' ? 'lowdb/node' : name;
}

function sizeOf(name) {
  const total = { KiB: 0, files: 0, packages: 0 };
  const seen = new Set();
  const add = (wanted, from) => {
    const place = placeOf(wanted, from);
    if (place === null || seen.has(place)) return;
    seen.add(place);
    const { bytes, files } = place === project ? packed() : contentsOf(place);
    total.KiB += bytes / 1024;
    total.files += files;
    total.packages++;
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(path.join(place, 'package.json'), 'utf8'),
    );
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies })) add(each, place);
  };
  add(name, modules);
  return total;
}

function placeOf(name, from) {
  if (name === 'holdfast') return project;
  const candidates = [
    path.join(from, 'node_modules', name),
    path.join(modules, name),
    path.join(project, 'node_modules', name),
  ];
  return candidates.find((place) => existsSync(path.join(place, 'package.json'))) ?? null;
}

/** What npm would put into the package. */
function packed() {
  const npm = process.env.npm_execpath;
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const [command, ...rest] =
    npm === undefined ? ['npm', ...args] : [process.execPath, npm, ...args];
  const text = execFileSync(command, rest, {
    cwd: project,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // An array, or an object by package name, as npm's version has it.
  const [{ unpackedSize, entryCount }] = Object.values(JSON.parse(text));
  return { bytes: unpackedSize, files: entryCount };
}

function contentsOf(place) {
  let bytes = 0;
  let files = 0;
  for (const entry of readdirSync(place, { recursive: true })) {
    // Dependencies are counted where they are needed.
    if (entry.split(path.sep).includes('node_modules')) continue;
    const status = lstatSync(path.join(place, entry));
    if (!status.isFile()) continue;
    bytes += status.size;
    files++;
  }
  return { bytes, files };
}

function binaries() {
  const place = path.join(project, 'prebuilds');
  const found = readdirSync(place, { recursive: true }).filter((name) => name.endsWith('.node'));
  return found.length === 0
    ? 'The size of holdfast is without its binaries: none are built here (npm run prebuild).'
    : `The size of holdfast is with its binaries for ${found.length} platforms.`;
}
