// Runs the tests in Node for Windows under Wine, on the addon that scripts/build-windows.mjs has built for x64. Takes the
// arguments of `vitest run`, file names above all, and --node=MAJOR: 20 by default.
//
// Everything that this needs is fetched when it is first used: see scripts/wine.mjs and scripts/downloads.mjs.
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';

import { fetchNode } from './runtimes.mjs';
import { fetchVitestParts } from './vitest-parts.mjs';
import { setUpWine, whyNoWine, windowsPath } from './wine.mjs';

/** Prints what is written to `file` until `end` settles, and hands back what that came to. */
async function follow(file, end) {
  const descriptor = openSync(file, 'r');
  const buffer = Buffer.alloc(65_536);
  const print = () => {
    for (;;) {
      const size = readSync(descriptor, buffer);
      if (size === 0) return;
      process.stdout.write(Buffer.from(buffer.subarray(0, size)));
    }
  };
  const timer = setInterval(print, 100);
  try {
    return await end;
  } finally {
    clearInterval(timer);
    print();
    closeSync(descriptor);
  }
}

function vitestArguments(given) {
  const vitest = createRequire(import.meta.url).resolve('vitest/package.json');
  const report = process.env.VITEST_JSON_REPORT;
  return [
    windowsPath(path.join(path.dirname(vitest), 'vitest.mjs')),
    'run',
    // The other loader writes into node_modules.
    '--configLoader=runner',
    '--reporter=verbose',
    ...(report ? ['--reporter=json', `--outputFile.json=${windowsPath(report)}`] : []),
    ...given,
  ];
}

/** The exit code for "not here", which is no failure: as test harnesses have it. */
const skipped = 77;

async function main() {
  const problem = whyNoWine();
  if (problem !== null) {
    console.error(`Wine cannot be set up here: ${problem}`);
    process.exitCode = skipped;
    return;
  }
  const given = process.argv.slice(2);
  const majors = given.filter((argument) => argument.startsWith('--node='));
  const node = fetchNode('win-x64', majors.at(-1)?.slice('--node='.length) ?? '20');
  const nativeParts = fetchVitestParts('win32-x64-msvc');
  const wine = await setUpWine();
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-windows-'));
  const stop = () => {
    wine.stop();
    rmSync(scratch, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      stop();
      process.exit(128 + constants.signals[signal]);
    });
  }
  try {
    const output = path.join(scratch, 'output');
    const tests = vitestArguments(given.filter((argument) => !majors.includes(argument)));
    const child = wine.start(node, tests, {
      output,
      env: {
        NODE_PATH: windowsPath(nativeParts),
        // build/ holds the addon of this machine, and would come first.
        PREBUILDS_ONLY: '1',
        // On Windows vitest takes everything for a terminal.
        ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }),
      },
    });
    const [code, signal] = await follow(output, once(child, 'exit'));
    if (signal !== null) console.error(`vitest was ended by ${signal}`);
    process.exitCode = code ?? 1;
  } finally {
    stop();
  }
}

await main();
