// Feeds whatever reads what others may have written with bytes and texts that nobody thought of:
//
//   npm run fuzz [-- --minutes N] [--keep] [NAME...]
//
// The targets in fuzz/native are led by what they have covered so far (libFuzzer, with AddressSanitizer and
// UndefinedBehaviorSanitizer); those in fuzz/typescript.mjs by chance (fast-check), and so are
// the calls of the addon in fuzz/addon.mjs, which runs under AddressSanitizer in Node. Each input has a bound on time and memory. Each native target begins with what
// fuzz/corpus has for it; with --keep, what led anywhere new is added to that. Ends with a table, and with an exit code that
// is not 0 if something was found. Needs clang++ with libFuzzer (Debian: apt-get install clang
// libclang-rt-14-dev), else the native targets are left out.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { runProperties } from '../fuzz/typescript.mjs';
import { fuzzAddon } from './fuzz-addon.mjs';
import { buildCore, findCompiler } from './native-core.mjs';
import { projectDirectory } from './native-target.mjs';
import { printTable } from './table.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '0.5' }, keep: { type: 'boolean' } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new RangeError(`--minutes must be a number above 0: ${values.minutes}`);
/** What one input of a native target may take: libFuzzer ends the process beyond it. */
const mostSeconds = 10;
const mostMebibytes = 2048;
const chosen = (name) => positionals.length === 0 || positionals.includes(name);

const rows = [];
const program = await buildFuzzer();
const targets = program === null ? [] : listTargets(program).filter(chosen);
const propertyShare = targets.length === 0 ? 0.8 : 0.3;
const addonShare = chosen('addon') ? 0.2 : 0;
const seconds = Math.max(
  1,
  Math.round((minutes * 60 * (1 - propertyShare - addonShare)) / (targets.length || 1)),
);
for (const target of targets) {
  const row = runTarget(program, target, seconds);
  console.log(`${target}: ${row.executions} executions, ${row.found}`);
  rows.push(row);
}
if (addonShare > 0) {
  const row = await orLeftOut('gcc', () => fuzzAddon(minutes * 60_000 * addonShare));
  if (row !== null) rows.push(row);
}
const properties = await runProperties(chosen, minutes * 60_000 * propertyShare);
rows.push(...properties.rows);

printTable(rows);
console.log(`covered by the properties: ${properties.coverage}`);
const found = rows.filter((row) => row.found !== 'nothing').length;
const executions = rows.reduce((sum, row) => sum + row.executions, 0);
console.log(`fuzz: ${executions} executions, ${found || 'nothing'} found`);
process.exitCode = found === 0 ? 0 : 1;

async function buildFuzzer() {
  const sanitizers = 'address,undefined';
  return orLeftOut('libFuzzer', () =>
    buildCore({
      name: 'fuzz',
      cases: path.join('fuzz', 'native'),
      main: false,
      compiler: findCompiler((name) => name.startsWith('clang')),
      flags: ['-O1', '-fno-omit-frame-pointer', '-fno-sanitize-recover=all'],
      compileFlags: [`-fsanitize=fuzzer-no-link,${sanitizers}`],
      linkFlags: [`-fsanitize=fuzzer,${sanitizers}`],
    }),
  );
}

/** Null where what it needs is not there, which is said. */
async function orLeftOut(what, run) {
  try {
    return await run();
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.warn(`What needs ${what} is left out: ${error.message.split('\n')[0]}`);
    return null;
  }
}

function listTargets(fuzzer) {
  const env = { ...process.env, HOLDFAST_FUZZ_TARGET: 'list' };
  return spawnSync(fuzzer, { encoding: 'utf8', env }).stdout.split('\n').filter(Boolean).sort();
}

function runTarget(fuzzer, target, limit) {
  const corpus = path.join(projectDirectory, 'fuzz', 'corpus', target);
  mkdirSync(corpus, { recursive: true });
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-fuzz-'));
  try {
    const result = spawnSync(
      fuzzer,
      [
        ...[scratch, corpus, `-max_total_time=${limit}`, '-print_final_stats=1', '-max_len=4096'],
        ...[`-timeout=${mostSeconds}`, `-rss_limit_mb=${mostMebibytes}`],
        `-artifact_prefix=${path.join(tmpdir(), `holdfast-fuzz-${target}-`)}`,
      ],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
        env: {
          ...process.env,
          HOLDFAST_FUZZ_TARGET: target,
          ASAN_OPTIONS: 'detect_leaks=1',
          UBSAN_OPTIONS: 'print_stacktrace=1',
        },
      },
    );
    const output = result.stderr;
    const last = [...output.matchAll(/cov: (\d+) ft: (\d+) corp: (\d+)/g)].at(-1) ?? [];
    const failed = result.status !== 0;
    if (failed) console.error(output.slice(-6000));
    if (!failed && values.keep) keep(fuzzer, target, scratch, corpus);
    return {
      target,
      executions: Number(/number_of_executed_units: (\d+)/.exec(output)?.[1] ?? 0),
      seconds: limit,
      coverage: `${last[1] ?? 0} edges, ${last[2] ?? 0} features`,
      corpus: readdirSync(corpus).length,
      slowest: `${/slowest_unit_time_sec: +(\d+)/.exec(output)?.[1] ?? '?'} of ${mostSeconds} s`,
      largest: `${/peak_rss_mb: +(\d+)/.exec(output)?.[1] ?? '?'} of ${mostMebibytes} MiB`,
      found: failed ? `exit code ${result.status ?? result.signal}` : 'nothing',
    };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Makes the corpus as small as it can be without covering less, and no file in it long. */
function keep(fuzzer, target, from, corpus) {
  const merged = mkdtempSync(path.join(tmpdir(), 'holdfast-fuzz-'));
  try {
    const env = { ...process.env, HOLDFAST_FUZZ_TARGET: target };
    const merging = [merged, corpus, from, '-merge=1', '-max_len=1200', '-max_total_time=60'];
    if (spawnSync(fuzzer, merging, { env, maxBuffer: 1 << 28 }).status !== 0) return;
    // Those with other names are what was found once.
    for (const name of readdirSync(corpus)) {
      if (/^[0-9a-f]{40}$/.test(name)) rmSync(path.join(corpus, name));
    }
    for (const name of readdirSync(merged)) {
      copyFileSync(path.join(merged, name), path.join(corpus, name));
    }
  } finally {
    rmSync(merged, { recursive: true });
  }
}
