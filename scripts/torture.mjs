// Tries to make holdfast break its promises, and tells how: `npm run torture [-- --minutes N --seed S]`. What is tried is in
// torture/. Ends with a table of what was done and found, and with an exit code that is not 0 if a promise was broken.
// `--soak` has 64 processes lock 10,000 files for that time instead, and looks whether anything grows.
// `--only PATTERN` chooses by the names of what is tried, and file names choose from the files of torture/.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { projectDirectory } from './native-target.mjs';
import { printTable } from './table.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    soak: { type: 'boolean', default: false },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
  },
});
for (const name of ['minutes', 'seed']) {
  if (!(Number(values[name]) > 0)) throw new RangeError(`--${name} must be a number above 0`);
}

const vitest = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-torture-'));
try {
  const report = path.join(scratch, 'report');
  writeFileSync(report, '');
  console.log(`torture: ${values.minutes} minutes, seed ${values.seed}`);
  const files = values.soak ? ['soak'] : positionals;
  const chosen = values.only === '' ? [] : ['--testNamePattern', values.only];
  const config = ['--config', 'torture/vitest.config.mts', '--configLoader', 'runner'];
  const child = spawn(
    process.execPath,
    [vitest, 'run', ...config, '--no-file-parallelism', ...chosen, ...files],
    {
      cwd: projectDirectory,
      stdio: 'inherit',
      env: {
        ...process.env,
        HOLDFAST_TORTURE_MINUTES: values.minutes,
        HOLDFAST_TORTURE_SEED: values.seed,
        HOLDFAST_TORTURE_REPORT: report,
        HOLDFAST_TORTURE_SOAK: values.soak ? '1' : '0',
      },
    },
  );
  process.on('SIGTERM', () => child.kill());
  const [code, signal] = await once(child, 'close');
  if (signal !== null) console.error(`vitest was ended by ${signal}`);
  printTables(readFileSync(report, 'utf8'));
  console.log(`torture: seed ${values.seed}, ${code === 0 ? 'every promise was kept' : 'FAILED'}`);
  process.exitCode = code ?? 1;
} finally {
  rmSync(scratch, { recursive: true });
}

function printTables(report) {
  const tables = new Map();
  for (const line of report.split('\n').filter(Boolean)) {
    const { table, row } = JSON.parse(line);
    tables.set(table, [...(tables.get(table) ?? []), row]);
  }
  for (const [name, rows] of tables) {
    console.log(`\n${name}`);
    printTable(rows);
  }
}
