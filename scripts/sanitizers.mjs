// Sanitizers of gcc for an addon in a Node that has none: how it is compiled, and how Node is started.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { hostSystem, nativeTarget, projectDirectory } from './native-target.mjs';
import { unifiedSource } from './unified-source.mjs';

const common = 'halt_on_error=1:abort_on_error=1';

export const sanitizers = {
  address: {
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
    library: 'libasan.so',
    // Node leaves much to the end of its process; and what is freed is kept for a while, by default so much of it that it
    // looks like growth.
    env: {
      ASAN_OPTIONS: `${common}:detect_leaks=0:quarantine_size_mb=16`,
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
  thread: {
    flags: ['-fsanitize=thread'],
    library: 'libtsan.so',
    // Of the locks inside of Node it sees nothing.
    env: { TSAN_OPTIONS: `${common}:ignore_noninstrumented_modules=1` },
  },
};

export const flagsOf = ({ flags }) => [...flags, '-g', '-O1', '-fno-omit-frame-pointer'];

/** The environment of a Node that is to load such an addon. */
export function environmentOf({ library, env }) {
  const file = execFileSync('g++', [`-print-file-name=${library}`], { encoding: 'utf8' });
  return { ...env, LD_PRELOAD: file.trim() };
}

/** Compiles the addon beside the one in build/, which stays as it is; hands back its path. */
export async function buildSanitizedAddon(name) {
  const directory = path.join(projectDirectory, 'build', `addon-${name}`);
  mkdirSync(directory, { recursive: true });
  const { sources, flags } = nativeTarget(hostSystem);
  const unified = unifiedSource(sources);
  const file = path.join(directory, 'holdfast.node');
  await promisify(execFile)(
    'g++',
    [
      ...[...flags, ...unified.flags, ...flagsOf(sanitizers[name]), '-fPIC', '-shared'],
      ...[unified.file, '-pthread', '-ldl', '-o', file],
    ],
    { cwd: projectDirectory, maxBuffer: 1 << 26 },
  );
  return file;
}
