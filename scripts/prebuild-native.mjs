// Builds the binary for the machine that this runs on, with the compiler of that machine: prebuildify by way of node-gyp.
// For systems that scripts/prebuild.mjs does not build for, and to try the compiler of a system that it does.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';

const prebuildify = path.join(
  path.dirname(createRequire(import.meta.url).resolve('prebuildify/package.json')),
  'bin.js',
);
// Elsewhere it would call every binary one for glibc.
const tags = process.platform === 'linux' ? ['--tag-libc'] : [];
const { status } = spawnSync(process.execPath, [prebuildify, '--napi', '--strip', ...tags], {
  cwd: projectDirectory,
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
