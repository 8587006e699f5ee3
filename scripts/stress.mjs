// Runs the tests that have counts at the full ones: every test file that imports test/helpers/scale.ts, one after the
// other, so that the figures they print are not those of a crowded machine. Arguments go to vitest; file names among
// them choose from these files.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const projectDirectory = fileURLToPath(new URL('../', import.meta.url));
const vitest = path.join(
  path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const longestTest = 30 * 60_000;

const given = process.argv.slice(2);
const options = given.filter((argument) => argument.startsWith('-'));
const chosen = given.filter((argument) => !argument.startsWith('-'));
const files = readdirSync(path.join(projectDirectory, 'test'), { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => path.join('test', name))
  .filter((file) =>
    /'\.[./]*\/helpers\/scale\.js'/.test(readFileSync(path.join(projectDirectory, file), 'utf8')),
  )
  .filter((file) => chosen.length === 0 || chosen.some((part) => file.includes(part)));
if (files.length === 0) {
  console.error(`No test with counts matches ${chosen.join(' ')}`);
  process.exit(1);
}

const child = spawn(
  process.execPath,
  [
    vitest,
    'run',
    '--no-file-parallelism',
    '--reporter=verbose',
    `--testTimeout=${longestTest}`,
    `--hookTimeout=${longestTest}`,
    ...options,
    ...files,
  ],
  {
    cwd: projectDirectory,
    stdio: 'inherit',
    env: { ...process.env, HOLDFAST_STRESS: '1' },
  },
);
process.on('SIGTERM', () => child.kill());
child.on('close', (code, signal) => {
  if (signal !== null) console.error(`vitest was ended by ${signal}`);
  process.exitCode = code ?? 1;
});
