// How many lines a second JobStore appends, beside lowdb and write-file-atomic doing the same job; and what a line costs
// among how many jobs, in how long a log.
//
//   npm run build && npm install --no-save --prefix bench && node bench/job-store.mjs [--rounds=5] [--directory=/where/to/measure]
//
// All candidates take turns in every round. Ratios of one run mean something, figures of different runs do not.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { JSONFilePreset } from 'lowdb/node';
import writeFileAtomic from 'write-file-atomic';
import holdfast from '../dist/index.js';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const rounds = Number(options.rounds);
/** Milliseconds for each measurement: as many calls as come to an end in it. */
const span = 400;
const longLog = 100_000;
const line = 'page 12 of 100 was rendered in 345 ms, with 6 warnings';

const scratch = mkdtempSync(path.join(options.directory, 'holdfast-bench-'));

/**
 * A candidate hands back how to append a line, and how many lines there are when all has ended, on the disk: one that
 * loses lines is not measured but an error.
 */
const candidates = {
  'JobStore, ordered': (place, lines) => jobStore(place, lines, 'ordered'),
  'JobStore, full': (place, lines) => jobStore(place, lines, 'full'),
  'JobStore, none': (place, lines) => jobStore(place, lines, 'none'),
  // The job in a file of its own, written anew with every line.
  'write-file-atomic, fsync': (place, lines) => rewrite(place, lines, true),
  'write-file-atomic, no fsync': (place, lines) => rewrite(place, lines, false),
  // Never flushes.
  lowdb: async (place, lines) => {
    const file = path.join(place, 'lowdb.json');
    const db = await JSONFilePreset(file, { jobs: { a: newJob(lines) } });
    await db.write();
    return {
      append: () => {
        db.data.jobs.a.logs.push(line);
        return db.write();
      },
      count: () => JSON.parse(readFileSync(file, 'utf8')).jobs.a.logs.length,
    };
  },
  // No log at all: a file of one line. Nothing that calls write-file-atomic once for every line can be faster.
  'write-file-atomic of the line alone': async (place) => {
    const file = path.join(place, 'line');
    let calls = 0;
    return {
      append: async () => {
        await writeFileAtomic(file, line);
        calls++;
      },
      count: () => calls,
    };
  },
};

function newJob(lines) {
  return { status: 'processing', logs: Array.from({ length: lines }, () => line) };
}

async function jobStore(place, lines, durability) {
  const store = new holdfast.JobStore(path.join(place, durability), { durability });
  await fill(store, lines);
  return {
    append: () => store.appendLog('a', line),
    count: async () => (await store.read('a')).logs.length,
  };
}

async function fill(store, lines) {
  for (let left = lines; left > 0; left -= 10_000) {
    await store.update('a', {}, { log: newJob(Math.min(left, 10_000)).logs });
  }
}

async function rewrite(place, lines, fsync) {
  const file = path.join(place, `job-${fsync}.json`);
  const job = newJob(lines);
  return {
    append: () => {
      job.logs.push(line);
      return writeFileAtomic(file, JSON.stringify(job), { fsync });
    },
    count: () => JSON.parse(readFileSync(file, 'utf8')).logs.length,
  };
}

/** Calls a second of so many callers, each of whom waits for a call before the next. */
async function rate(name, lines, callers) {
  const place = mkdtempSync(path.join(scratch, 'run-'));
  const { append, count } = await candidates[name](place, lines);
  await append();
  let calls = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      do {
        await append();
        calls++;
      } while (performance.now() - start < span);
    }),
  );
  const elapsed = performance.now() - start;
  const found = await count();
  const isAlone = name.endsWith('alone');
  if (found !== calls + 1 + (isAlone ? 0 : lines)) {
    throw new Error(`${name}: ${calls} calls, and ${found} lines are there`);
  }
  rmSync(place, { recursive: true });
  return (calls / elapsed) * 1000;
}

function median(samples) {
  const sorted = [...samples].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

const number = (value) => Math.round(value).toLocaleString('en');

async function compare() {
  const situations = [
    { title: '1 caller', lines: 0, callers: 1 },
    { title: '100 callers', lines: 0, callers: 100 },
    { title: `1 caller, ${number(longLog)} lines`, lines: longLog, callers: 1 },
    { title: `100 callers, ${number(longLog)} lines`, lines: longLog, callers: 100 },
  ];
  for (const { title, lines, callers } of situations) {
    const samples = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of Object.keys(candidates)) {
        samples[name].push(await rate(name, lines, callers));
      }
    }
    console.log(`\nappendLog, ${title}: calls a second, median of ${rounds} (lowest, highest)`);
    for (const [name, each] of Object.entries(samples)) {
      const spread = `(${number(Math.min(...each))}, ${number(Math.max(...each))})`;
      console.log(`  ${name.padEnd(38)}${number(median(each)).padStart(10)}  ${spread}`);
    }
    const ratios = samples['JobStore, ordered'].map(
      (each, round) => each / samples['write-file-atomic of the line alone'][round],
    );
    console.log(
      `  JobStore, ordered, is ${median(ratios).toFixed(1)} times as fast as one write-file-atomic for each line`,
    );
  }
}

/** Milliseconds for one call after the other, in a store of so many jobs, to a log of so many lines. */
async function costs() {
  const calls = 100;
  const measure = async (title, sizes, prepare) => {
    const stores = [];
    for (const size of sizes) {
      const place = mkdtempSync(path.join(scratch, 'cost-'));
      const store = new holdfast.JobStore(place, { durability: 'none' });
      await prepare(store, size);
      await store.appendLog('a', line);
      stores.push({
        size,
        store,
        samples: { 'a call': [], 'read, no log': [], 'last 10 lines': [] },
      });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { store, samples } of stores) {
        const take = async (name, call) => {
          const start = performance.now();
          for (let done = 0; done < calls; done++) await call();
          samples[name].push((performance.now() - start) / calls);
        };
        await take('a call', () => store.appendLog('a', line));
        await take('read, no log', () => store.read('a', { logs: false }));
        await take('last 10 lines', () => store.read('a', { logs: { last: 10 } }));
      }
    }
    console.log(`\n${title}: milliseconds (no durability), median of ${rounds}`);
    for (const { size, samples } of stores) {
      const each = Object.entries(samples).map(
        ([name, all]) => `${name} ${median(all).toFixed(3)}`,
      );
      console.log(`  ${number(size).padStart(8)}  ${each.join('   ')}`);
    }
  };
  await measure('by the number of jobs', [1, 10, 100, 1000, 10_000], async (store, jobs) => {
    for (let done = 1; done < jobs; done += 100) {
      const some = Array.from(
        { length: Math.min(100, jobs - done) },
        (_, at) => `job ${done + at}`,
      );
      await Promise.all(some.map((id) => store.appendLog(id, line)));
    }
  });
  await measure('by the lines of the log', [0, 100, 1000, 10_000, 100_000], fill);
}

try {
  console.log(
    `Node ${process.version}, ${process.platform}-${process.arch}, in ${options.directory}`,
  );
  await compare();
  await costs();
} finally {
  rmSync(scratch, { recursive: true });
}
