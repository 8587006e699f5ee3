// Builds the addon for Windows on Linux: `node scripts/build-windows.mjs [x64] [arm64]`, both where none is named. The
// binaries lie where node-gyp-build looks for them when the package is loaded, and the same sources give the same
// bytes, wherever and whenever they are built.
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';
import { projectDirectory } from './native-target.mjs';

const targets = { x64: 'x86_64-windows.win10-gnu', arm64: 'aarch64-windows.win10-gnu' };

const notice = whyNoCrossCompiler();
if (notice !== null) throw new Error(notice);
const named = process.argv.slice(2);
for (const architecture of named.length > 0 ? named : Object.keys(targets)) {
  const target = targets[architecture];
  if (target === undefined) throw new Error(`no such architecture: ${architecture}`);
  const output = path.join(projectDirectory, 'prebuilds', `win32-${architecture}`, 'holdfast.node');
  mkdirSync(path.dirname(output), { recursive: true });
  await crossCompile({ system: 'win', target, output });
  console.log(`built ${path.relative(projectDirectory, output)}`);
}
