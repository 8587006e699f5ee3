// Builds the addon for Windows on Linux, and the program that tests start there:
// `node scripts/build-windows.mjs [x64] [arm64] [--tests]`, both where none is named.
import { readdirSync } from 'node:fs';
import path from 'node:path';

import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';
import { projectDirectory } from './native-target.mjs';
import { chooseTargets, prebuildsDirectory, targets } from './targets.mjs';

/** Shows what native/win makes of answers of the system that cannot be had for real: test/win32-call-table.test.ts. */
function callTableProgram({ name }) {
  const sourcesIn = (directory) =>
    readdirSync(path.join(projectDirectory, directory))
      .filter((file) => file.endsWith('.cc'))
      .map((file) => path.join(directory, file));
  return {
    sources: ['', 'win'].flatMap((directory) => sourcesIn(path.join('test', 'native', directory))),
    output: path.join(projectDirectory, 'build', name, 'win32-call-table.exe'),
  };
}

const notice = whyNoCrossCompiler();
if (notice !== null) throw new Error(notice);
const given = process.argv.slice(2);
const names = given.filter((argument) => argument !== '--tests').map((name) => `win32-${name}`);
const windows = targets.filter(({ system }) => system === 'win');
for (const target of chooseTargets(windows, names)) {
  const output = path.join(prebuildsDirectory, target.file);
  const program = given.includes('--tests') ? callTableProgram(target) : undefined;
  await crossCompile(target, { output, program });
  for (const file of [output, ...(program ? [program.output] : [])]) {
    console.log(`built ${path.relative(projectDirectory, file)}`);
  }
}
