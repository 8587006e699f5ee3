// Packs the package, installs it into a fresh project without running any script, as a user does, and tries it in every
// program and on every system that this machine can have:
// `node scripts/verify-tarball.mjs [--smoke] [--file NAME]... [HOST...]`.
//
// Everywhere the smoke test runs; `--smoke` is content with that, and otherwise each Node runs the whole suite as well,
// on the installed files; with `--file`, those of its files that have a NAME in their names. Ends with a table of what was
// seen, and with 1 if anything failed. HOST is the beginning of a name in that table.
//
// The binaries are those in prebuilds/, so `npm run prebuild` comes before.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { setUpNodeForArm64 } from './arm64.mjs';
import { binaryFacts } from './binary-facts.mjs';
import { projectDirectory } from './native-target.mjs';
import { setUpBunForMusl } from './musl.mjs';
import { fetchBun, fetchDeno, fetchNode, nodeVersions } from './runtimes.mjs';
import { hashOf, targets } from './targets.mjs';
import { fetchVitestParts } from './vitest-parts.mjs';
import { setUpWine, windowsPath } from './wine.mjs';

/** vitest does not start there: it is no line that lived long. */
const withoutSuite = '21';
/**
 * Which Node for arm64 and for Windows runs the suite: each of them takes long. The others are tried as well. What an emulated
 * processor is given is what `npm test` runs.
 */
const suiteOnArm64 = '24';
const quickSuite = 'vitest.quick.config.mts';
const suiteOnWindows = '20';

// This process has its turn in Wine once, until it ends.
let wine;
const sharedWine = () => (wine ??= setUpWine());

/**
 * Where the package is tried. `target` names the binary that is to be loaded. `setUp` resolves to the program to start,
 * what comes before its arguments, and the platform of the native parts of vitest, where those are not this machine's.
 * Without `suite` there is only the smoke test.
 */
const hosts = [
  ...Object.keys(nodeVersions['linux-x64']).map((major) => ({
    name: `node ${major}, linux-x64`,
    target: 'linux-x64-glibc',
    suite: major !== withoutSuite,
    setUp: async () => ({ program: fetchNode('linux-x64', major) }),
  })),
  {
    name: 'bun, linux-x64',
    target: 'linux-x64-glibc',
    setUp: async () => ({ program: fetchBun() }),
  },
  {
    name: 'deno, linux-x64',
    target: 'linux-x64-glibc',
    setUp: async () => ({ program: fetchDeno(), before: ['run', '--allow-all'] }),
  },
  {
    name: 'bun, linux-x64, musl',
    target: 'linux-x64-musl',
    setUp: async () => ({ program: await setUpBunForMusl() }),
  },
  ...Object.keys(nodeVersions['linux-arm64']).map((major) => ({
    name: `node ${major}, linux-arm64, qemu`,
    target: 'linux-arm64-glibc',
    suite: major === suiteOnArm64,
    config: quickSuite,
    setUp: async () => ({
      program: setUpNodeForArm64(major),
      vitestPlatform: 'linux-arm64-gnu',
    }),
  })),
  ...Object.keys(nodeVersions['win-x64']).map((major) => ({
    name: `node ${major}, win32-x64, wine`,
    target: 'win32-x64',
    suite: major === suiteOnWindows,
    setUp: async () => ({
      program: fetchNode('win-x64', major),
      wine: await sharedWine(),
      vitestPlatform: 'win32-x64-msvc',
    }),
  })),
];

/** Tests of what is not in the package. */
const notOfThePackage = [
  ...['lint-rules', 'package', 'bundlers', 'prebuild', 'win32-call-table', 'bench', 'comparison'],
  ...['docs-code', 'docs-links', 'security', 'torture-history'],
  ...['example-cli-cache', 'example-cron-once', 'example-electron'],
].map((name) => `--exclude=test/${name}.test.ts`);

const suiteLimit = 60 * 60_000;
const smokeLimit = 5 * 60_000;

/** Packs the checkout and hands back the path of the tarball. */
function pack(directory) {
  const options = ['--json', '--ignore-scripts', '--pack-destination', directory];
  const report = execFileSync('npm', ['pack', ...options], { cwd: projectDirectory });
  const [{ filename, size, files }] = JSON.parse(report);
  const packed = files.map((file) => file.path);
  const missing = targets.filter(({ file }) => !packed.includes(`prebuilds/${file}`));
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    throw new Error(`the tarball lacks ${names}: 'npm run prebuild' builds them`);
  }
  console.log(`packed ${filename}: ${size} bytes, ${files.length} files`);
  return path.join(directory, filename);
}

/** A user's project with the tarball in it. */
function install(tarball, project) {
  mkdirSync(project);
  writeFileSync(path.join(project, 'package.json'), '{ "name": "user", "private": true }\n');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  execFileSync('npm', ['install', ...options, tarball], { cwd: project, stdio: 'inherit' });
  copyFileSync(
    path.join(projectDirectory, 'test', 'smoke', 'smoke.cjs'),
    path.join(project, 'smoke.cjs'),
  );
}

/** The installed files with the tests beside them, as they lie in a checkout: nothing is there that can be built. */
function placeSuite(project, suite) {
  cpSync(path.join(project, 'node_modules', 'holdfast'), suite, { recursive: true });
  // `src` for the tests of single functions, `docs` for those that hold the code to its word.
  for (const name of ['test', 'src', 'docs', 'vitest.config.mts', quickSuite, 'tsconfig.json']) {
    cpSync(path.join(projectDirectory, name), path.join(suite, name), { recursive: true });
  }
  symlinkSync(path.join(projectDirectory, 'node_modules'), path.join(suite, 'node_modules'));
}

/** Runs a program of `host` to its end, its output in the file `log`. Resolves to whether it went well. */
async function run({ program, before = [], wine }, args, { cwd, env = {}, log, limit }) {
  const output = openSync(log, 'a');
  const child = wine
    ? wine.start(program, args, { cwd, env, output: log })
    : spawn(program, [...before, ...args], {
        cwd,
        env: { ...process.env, ...env },
        stdio: ['ignore', output, output],
      });
  closeSync(output);
  running.add(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  running.delete(child);
  return code === 0;
}

const running = new Set();

async function smoke(host, { project, scratch }) {
  const log = path.join(scratch, 'smoke');
  rmSync(log, { force: true });
  const passed = await run(host, ['smoke.cjs'], { cwd: project, log, limit: smokeLimit });
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  try {
    if (passed) return JSON.parse(lines.at(-1));
  } catch {
    // It has said something else.
  }
  console.log(lines.join('\n'));
  return null;
}

async function runSuite(host, { suite, scratch }, files) {
  const vitest = path.join(
    path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
    'vitest.mjs',
  );
  const toHost = (file) => (host.wine ? windowsPath(file) : file);
  const report = path.join(scratch, 'report.json');
  const log = path.join(scratch, 'suite');
  for (const file of [report, log]) rmSync(file, { force: true });
  const args = [
    ...[toHost(vitest), 'run', '--configLoader=runner', '--maxWorkers=2', '--retry=1'],
    ...['--testTimeout=180000', '--hookTimeout=180000'],
    ...['--reporter=default', '--reporter=json', `--outputFile.json=${toHost(report)}`],
    ...(host.config === undefined ? [] : ['--config', toHost(path.join(suite, host.config))]),
    ...notOfThePackage,
    ...files,
  ];
  const parts = host.vitestPlatform && fetchVitestParts(host.vitestPlatform);
  const env = { CI: '', NO_COLOR: '1', ...(parts ? { NODE_PATH: toHost(parts) } : {}) };
  await run(host, args, { cwd: suite, env, log, limit: suiteLimit });
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } =
      JSON.parse(readFileSync(report, 'utf8'));
    const broken = testResults.filter(({ status }) => status === 'failed');
    for (const { name, message, assertionResults } of broken) {
      const failed = assertionResults.filter(({ status }) => status === 'failed');
      console.log(`FAILED ${path.basename(name)} ${message}`);
      for (const { fullName, failureMessages } of failed) {
        console.log(`  ${fullName}: ${failureMessages[0]?.split('\n', 1)[0]}`);
      }
    }
    return {
      passed: numPassedTests,
      failed: Math.max(numFailedTests, broken.length),
      skipped: numPendingTests + numTodoTests,
    };
  } catch {
    console.log(readFileSync(log, 'utf8').split('\n').slice(-40).join('\n'));
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

/** One row of the table. */
async function verify(
  { name, target, suite, config, setUp },
  places,
  { smoke: smokeOnly, file: files },
) {
  const started = performance.now();
  const { file } = targets.find((candidate) => candidate.name === target);
  const image = readFileSync(path.join(places.project, 'node_modules/holdfast/prebuilds', file));
  const row = {
    host: name,
    binary: file,
    bytes: image.length,
    sha256: hashOf(image).slice(0, 12),
    floor: binaryFacts(image).floor ?? '',
    smoke: 'FAILED',
    suite: '',
  };
  let host;
  try {
    host = { ...(await setUp()), config };
    const seen = await smoke(host, places);
    if (seen?.addon === `prebuilds/${file}`) row.smoke = `${seen.steps} steps`;
    else if (seen !== null) console.log(`${name}: loaded ${seen.addon}`);
    if (suite && !smokeOnly) {
      const { passed, failed, skipped } = await runSuite(host, places, files);
      row.suite = `${passed} passed, ${failed > 0 ? `${failed} FAILED` : '0 failed'}, ${skipped} skipped`;
    }
  } catch (error) {
    console.log(`${name}: ${error.stack}`);
  } finally {
    host?.wine?.stop();
  }
  row.seconds = Math.round((performance.now() - started) / 1000);
  console.log(Object.values(row).join(' | '));
  return row;
}

async function main() {
  const { values: options, positionals: names } = parseArgs({
    options: {
      smoke: { type: 'boolean', default: false },
      file: { type: 'string', multiple: true, default: [] },
    },
    allowPositionals: true,
  });
  const chosen = hosts.filter(
    (host) => names.length === 0 || names.some((name) => host.name.startsWith(name)),
  );
  if (chosen.length === 0) throw new Error(`no host is called ${names.join(', ')}`);
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-tarball-'));
  const end = () => {
    for (const child of running) child.kill('SIGKILL');
    rmSync(scratch, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      end();
      process.exit(128 + constants.signals[signal]);
    });
  }
  try {
    const places = {
      scratch,
      project: path.join(scratch, 'project'),
      suite: path.join(scratch, 'suite-of-holdfast'),
    };
    install(pack(scratch), places.project);
    if (!options.smoke) placeSuite(places.project, places.suite);
    const rows = [];
    for (const host of chosen) rows.push(await verify(host, places, options));
    printTable(rows);
    if (rows.some(({ smoke, suite }) => `${smoke}${suite}`.includes('FAILED'))) {
      process.exitCode = 1;
    }
  } finally {
    end();
  }
}

/** As Markdown. */
function printTable(rows) {
  const columns = Object.keys(rows[0]);
  const cells = [columns, columns.map(() => '---'), ...rows.map((row) => Object.values(row))];
  const widths = columns.map((_, column) =>
    Math.max(...cells.map((line) => String(line[column]).length)),
  );
  console.log('');
  for (const line of cells) {
    console.log(
      `| ${line.map((cell, column) => String(cell).padEnd(widths[column])).join(' | ')} |`,
    );
  }
}

await main();
