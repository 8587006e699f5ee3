// Runs Node for arm64 on a Debian machine of x64: under qemu's emulation of the processor, with Debian's own libraries for
// arm64, and with the kernel of this machine.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { findMirror, installPrograms, runQuietly } from './debian.mjs';
import { cached, cacheDirectory } from './downloads.mjs';
import { fetchNode } from './runtimes.mjs';

const qemu = 'qemu-aarch64-static';
const suite = 'bookworm';
/** Node's own needs. */
const libraries = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'];

/**
 * A program that is Node of the line `major` for arm64. The kernel would not start a child of it that is said to be of
 * arm64, so what Node takes for its own program is this one.
 */
export function setUpNodeForArm64(major) {
  installPrograms({ [qemu]: 'qemu-user-static' });
  const node = fetchNode('linux-arm64', major);
  const root = cached(`arm64-${suite}`, fetchLibraries);
  const directory = path.join(cacheDirectory, 'arm64-programs');
  mkdirSync(directory, { recursive: true });
  const program = path.join(directory, `node-${path.basename(path.resolve(node, '../../..'))}`);
  const preload = path.join(directory, 'exec-path.cjs');
  writeFileSync(preload, 'process.execPath = process.env.HOLDFAST_TEST_EXEC_PATH;\n');
  // By their own loader: told of a root for arm64, qemu would take every path from "/" on for one below that as well.
  const loader = path.join(root, 'lib', 'ld-linux-aarch64.so.1');
  const libraryPath = ['lib', 'usr/lib']
    .map((name) => path.join(root, name, 'aarch64-linux-gnu'))
    .join(':');
  writeFileSync(
    program,
    `#!/bin/sh
HOLDFAST_TEST_EXEC_PATH='${program}' exec ${qemu} '${loader}' --library-path '${libraryPath}' \\
  '${node}' -r '${preload}' "$@"
`,
  );
  chmodSync(program, 0o755);
  return program;
}

/** With lists of packages of its own, so that apt does not take this machine for one that has arm64 as well. */
function fetchLibraries(root) {
  console.log(`fetching libraries for arm64 of Debian ${suite}`);
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-arm64-'));
  try {
    const sources = path.join(scratch, 'sources.list');
    const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
    writeFileSync(sources, `deb [signed-by=${keys}] ${findMirror()} ${suite} main\n`);
    const state = path.join(scratch, 'state');
    const cache = path.join(scratch, 'cache');
    for (const needed of [path.join(state, 'partial'), path.join(cache, 'archives', 'partial')]) {
      mkdirSync(needed, { recursive: true });
    }
    const options = {
      'APT::Architecture': 'arm64',
      'APT::Architectures::': 'arm64',
      'APT::Sandbox::User': 'root',
      'Dir::Etc::SourceList': sources,
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::State::Lists': state,
      'Dir::State::Status': '/dev/null',
      'Dir::Cache': cache,
    };
    const apt = (...args) =>
      runQuietly('apt-get', [
        ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
        ...args,
      ]);
    apt('update');
    // Downloads into the cache and installs nothing: what they depend on is not asked.
    apt('install', '--download-only', '--yes', '--no-install-recommends', ...libraries);
    const archives = path.join(cache, 'archives');
    for (const file of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
      runQuietly('dpkg-deb', ['--extract', path.join(archives, file), root]);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
