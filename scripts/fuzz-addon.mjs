// The raw addon under AddressSanitizer, in processes of Node: fuzz/addon.mjs is one case, which follows from a seed.
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';
import { buildSanitizedAddon, environmentOf, sanitizers } from './sanitizers.mjs';

const program = path.join(projectDirectory, 'fuzz', 'addon.mjs');
/** Seeds that found something once, one a line. */
const seedsFile = path.join(projectDirectory, 'fuzz', 'corpus', 'addon', 'seeds');

/** What one case may take, on a machine that has other things to do. */
const mostSeconds = 60;
const mostMebibytes = 1024;

/** Tries the seeds that are kept and then others for that time; hands back a row of the table. */
export async function fuzzAddon(milliseconds) {
  const addon = await buildSanitizedAddon('address');
  const env = { ...process.env, ...environmentOf(sanitizers.address) };
  const kept = readFileSync(seedsFile, 'utf8').split('\n').filter(Boolean).map(Number);
  const end = performance.now() + milliseconds;
  let [executions, longest, largest, found] = [0, 0, 0, 'nothing'];
  for (let fresh = Date.now() % 2 ** 31; kept.length > 0 || performance.now() < end; fresh++) {
    const isKept = kept.length > 0;
    const seed = kept.shift() ?? fresh;
    const began = performance.now();
    const { problem, mebibytes } = runCase(addon, env, seed);
    executions += 1;
    longest = Math.max(longest, (performance.now() - began) / 1000);
    largest = Math.max(largest, mebibytes);
    if (problem === null) continue;
    console.error(`addon, seed ${seed}: ${problem}`);
    if (!isKept) appendFileSync(seedsFile, `${seed}\n`);
    found = `seed ${seed}`;
    break;
  }
  return {
    target: 'addon',
    executions,
    seconds: Math.round(milliseconds / 1000),
    coverage: '',
    corpus: '',
    slowest: `${longest.toFixed(1)} of ${mostSeconds} s`,
    largest: `${Math.round(largest)} of ${mostMebibytes} MiB`,
    found,
  };
}

function runCase(addon, env, seed) {
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-fuzz-addon-'));
  try {
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [program, addon, String(seed), path.join(scratch, 'files')],
      { encoding: 'utf8', env, timeout: mostSeconds * 1000, killSignal: 'SIGKILL' },
    );
    const mebibytes = Number(stdout) / 1024;
    if (status !== 0)
      return { problem: `${status ?? signal}\n${stderr.slice(-6000)}`, mebibytes: 0 };
    if (!(mebibytes > 0 && mebibytes <= mostMebibytes)) {
      return { problem: `it took ${mebibytes} MiB, or did not come to its end`, mebibytes: 0 };
    }
    return { problem: null, mebibytes };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
