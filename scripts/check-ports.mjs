// Compiles and links the ports that this machine cannot run, with the warnings of the build as errors, so that a change
// made on one system does not break another unseen. Nothing of it is run: that is left to the systems themselves, and
// for Windows to `npm run test:windows`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';

// `system` is gyp's name, which decides about the sources. Of a system that nobody has ported, gyp's name is any other.
const ports = [
  { port: 'mac', system: 'mac', target: 'x86_64-macos' },
  { port: 'mac', system: 'mac', target: 'aarch64-macos' },
  { port: 'linux', system: 'linux', target: 'x86_64-linux-musl' },
  { port: 'win', system: 'win', target: 'x86_64-windows.win10-gnu' },
  { port: 'win', system: 'win', target: 'aarch64-windows.win10-gnu' },
  { port: 'unsupported', system: 'unknown', target: 'x86_64-linux-gnu' },
];

async function main() {
  const notice = whyNoCrossCompiler();
  if (notice !== null) {
    if (process.env.CI === 'true') throw new Error(notice);
    console.warn(`\nNOTICE: ${notice}. Nothing was checked.\n`);
    return;
  }
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-ports-'));
  const output = path.join(directory, 'holdfast.node');
  try {
    for (const { port, system, target } of ports) {
      try {
        const count = await crossCompile({ system, target, output });
        console.log(`${port} for ${target}: ${count} sources compile and link`);
      } catch (error) {
        process.exitCode = 1;
        console.error(`${port} for ${target}: ${error.message}`);
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
