// What is built for whom: the eight binaries of a release, by prebuildify's names, under which node-gyp-build finds them.
import { createHash } from 'node:crypto';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';

export const prebuildsDirectory = path.join(projectDirectory, 'prebuilds');

/** The oldest glibc that a binary for Linux runs on: older than any that Node 20 runs on. */
const glibcFloor = '2.17';

/** The oldest macOS. */
const macFloor = '11.0';

const cpus = { x64: 'x86_64', arm64: 'aarch64' };

const linux = (architecture, libc) => ({
  name: `linux-${architecture}-${libc}`,
  file: `linux-${architecture}/holdfast.${libc}.node`,
  kind: `linux-${libc}`,
  architecture,
  system: 'linux',
  triple: `${cpus[architecture]}-linux-${libc === 'glibc' ? `gnu.${glibcFloor}` : 'musl'}`,
  floor: libc === 'glibc' ? glibcFloor : null,
});
const mac = (architecture) => ({
  name: `darwin-${architecture}`,
  file: `darwin-${architecture}/holdfast.node`,
  kind: 'darwin',
  architecture,
  system: 'mac',
  triple: `${cpus[architecture]}-macos.${macFloor}`,
  floor: macFloor,
});
const windows = (architecture) => ({
  name: `win32-${architecture}`,
  file: `win32-${architecture}/holdfast.node`,
  kind: 'win32',
  architecture,
  system: 'win',
  triple: `${cpus[architecture]}-windows.win10-gnu`,
  floor: null,
});

/**
 * - `file`: where the binary lies in prebuilds/
 * - `system`: gyp's name of the system, which decides about the sources
 * - `triple`: zig's name of the target
 * - `floor`: the version of glibc or macOS that it must run on
 */
export const targets = [
  ...[linux('x64', 'glibc'), linux('arm64', 'glibc'), linux('x64', 'musl'), linux('arm64', 'musl')],
  ...[mac('x64'), mac('arm64'), windows('x64'), windows('arm64')],
];

/** Nobody's: the port to begin another one from must compile. */
export const unportedTarget = {
  name: 'unsupported',
  system: 'unknown',
  triple: 'x86_64-linux-gnu',
};

/** Those of `among` that `names` name, or all. */
export function chooseTargets(among, names) {
  const unknown = names.filter((name) => !among.some((target) => target.name === name));
  if (unknown.length > 0) {
    const known = among.map(({ name }) => name).join(', ');
    throw new Error(`no such target: ${unknown.join(', ')}; there are ${known}`);
  }
  return among.filter(({ name }) => names.length === 0 || names.includes(name));
}

export function hashOf(image) {
  return createHash('sha256').update(image).digest('hex');
}
