// Builds the addon for Windows on Linux: `node scripts/build-windows.mjs [x64] [arm64] [--tests]`, both where none is
// named. The binaries lie where node-gyp-build looks for them when the package is loaded, and the same sources give the
// same bytes, wherever and whenever they are built. `--tests` also makes the programs that tests start.
import { readdirSync } from 'node:fs';
import path from 'node:path';

import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';
import { projectDirectory } from './native-target.mjs';

const targets = { x64: 'x86_64-windows.win10-gnu', arm64: 'aarch64-windows.win10-gnu' };

/** Shows what native/win makes of answers of the system that cannot be had for real: test/win32-call-table.test.ts. */
function callTableProgram(architecture) {
  const directory = path.join('test', 'native', 'win');
  const name = 'win32-call-table.exe';
  return {
    sources: readdirSync(path.join(projectDirectory, directory))
      .filter((file) => file.endsWith('.cc'))
      .map((file) => path.join(directory, file)),
    output: path.join(projectDirectory, 'build', `win32-${architecture}`, name),
  };
}

const notice = whyNoCrossCompiler();
if (notice !== null) throw new Error(notice);
const given = process.argv.slice(2);
const withTests = given.includes('--tests');
const named = given.filter((argument) => argument !== '--tests');
for (const architecture of named.length > 0 ? named : Object.keys(targets)) {
  const target = targets[architecture];
  if (target === undefined) throw new Error(`no such architecture: ${architecture}`);
  const output = path.join(projectDirectory, 'prebuilds', `win32-${architecture}`, 'holdfast.node');
  const program = withTests ? callTableProgram(architecture) : undefined;
  await crossCompile({ system: 'win', target, output, program });
  for (const file of [output, ...(program ? [program.output] : [])]) {
    console.log(`built ${path.relative(projectDirectory, file)}`);
  }
}
