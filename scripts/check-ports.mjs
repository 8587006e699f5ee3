// Compiles and links all ports, with the warnings of the build as errors, so that a change made on one system does not
// break another unseen: those of the release, and the one that stands for systems nobody has ported. Names of targets
// choose among them. Nothing of it is run: that is left to the systems themselves, and for Windows to
// `npm run test:windows`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';
import { chooseTargets, targets, unportedTarget } from './targets.mjs';

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
    for (const target of chooseTargets([...targets, unportedTarget], process.argv.slice(2))) {
      try {
        const count = await crossCompile(target, { output });
        console.log(`${target.name}: ${count} sources compile and link`);
      } catch (error) {
        process.exitCode = 1;
        console.error(`${target.name}: ${error.message}`);
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
