// Compares holdfast with programs in C and with other packages at the same work.
//
//   npm run bench [-- A B …] [--rounds N] [--quick] [--directory PLACE] [--candidates NAME,…]
//
// Sections by their letters, candidates by their names or files (bench/candidates): all unless told. All candidates take turns in every round, each in a fresh process: ratios
// of one run mean something, figures of different runs do not. `--quick` only shows that everything runs.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { addCandidate, candidates } from './candidates/index.mjs';
import { compilePrograms, installPeers, missingCandidates } from './prepare.mjs';
import { printSection, printTargets } from './report.mjs';
import { judge } from './targets.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    directory: { type: 'string', default: tmpdir() },
    candidates: { type: 'string' },
    output: { type: 'string' },
  },
});

const available = new Map(
  readdirSync(path.join(here, 'sections'))
    .filter((name) => /^[a-z]-/.test(name))
    .map((name) => [name[0].toUpperCase(), name]),
);
const wanted =
  positionals.length > 0 ? positionals.map((name) => name.toUpperCase()) : [...available.keys()];
for (const name of wanted) {
  if (!available.has(name)) {
    console.error(`no section '${name}': there are ${[...available.keys()].join(', ')}`);
    process.exit(2);
  }
}

const chosen = options.candidates?.split(',') ?? Object.keys(candidates);
for (const name of chosen) if (!(name in candidates)) await addCandidate(path.resolve(name));
const compared = chosen.map((name) => (name in candidates ? name : path.resolve(name)));
installPeers(compared);
const problem = compilePrograms();
if (problem !== null) {
  console.error(problem);
  process.exit(1);
}
const missing = missingCandidates(compared);
for (const name of missing) console.log(`not compared: ${name} (its package is not installed)`);

const scratch = { disk: mkdtempSync(path.join(options.directory, 'holdfast-bench-')) };
const memory = '/dev/shm';
try {
  scratch.tmpfs = mkdtempSync(path.join(memory, 'holdfast-bench-'));
} catch {
  console.log(`not measured on tmpfs: there is no ${memory}`);
}

const settings = {
  rounds: options.quick ? 1 : Number(options.rounds),
  quick: options.quick,
  /** Milliseconds of one measurement of what is repeated for a time. */
  span: options.quick ? 10 : 150,
  /** The first is where most is measured. */
  places: Object.keys(scratch),
  has: (name) => compared.includes(name) && !missing.includes(name),
  directoryIn: (place, name) => {
    const directory = path.join(scratch[place], name);
    mkdirSync(directory, { recursive: true });
    return directory;
  },
};

const results = {
  node: process.version,
  system: `${process.platform} ${process.arch}, ${release()}`,
  processor: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
  fileSystems: Object.fromEntries(
    Object.entries(scratch).map(([place, directory]) => [place, fileSystemOf(directory)]),
  ),
  rounds: settings.rounds,
  loadBefore: loadavg(),
  sections: [],
};
console.log(
  `Node ${results.node}, ${results.system}, ${results.processor}; ` +
    `load ${results.loadBefore.map((load) => load.toFixed(1)).join(' ')}`,
);

try {
  for (const name of wanted) {
    const section = await import(`./sections/${available.get(name)}`);
    const start = performance.now();
    const { tables, notes } = await section.measure(settings);
    const seconds = (performance.now() - start) / 1000;
    const result = { name, title: section.title, tables, notes, seconds };
    results.sections.push(result);
    printSection(result);
  }
} finally {
  for (const directory of Object.values(scratch))
    rmSync(directory, { recursive: true, force: true });
}

results.loadAfter = loadavg();
results.targets = judge(results);
printTargets(results.targets);
// A quick run has nothing to publish.
const output = options.output ?? (options.quick ? null : path.join(here, 'results.json'));
if (output !== null) writeFileSync(output, `${JSON.stringify(results, null, 2)}\n`);

function fileSystemOf(directory) {
  const known = { 0xef53: 'ext4', 0x01021994: 'tmpfs', 0x9123683e: 'btrfs', 0x58465342: 'xfs' };
  const { type } = statfsSync(directory);
  return known[type] ?? `0x${type.toString(16)}`;
}
