// Runs Bun for musl on a Debian machine of x64. Debian has musl, but no libstdc++ for it, which that program needs: it gets
// the one for glibc, and test/native/musl for what that needs of glibc.
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { compileLibrary } from './cross-compile.mjs';
import { installPrograms, runQuietly } from './debian.mjs';
import { cacheDirectory } from './downloads.mjs';
import { fetchBunForMusl } from './runtimes.mjs';

const source = path.join('test', 'native', 'musl', 'glibc_symbols.c');
const ofDebian = '/usr/lib/x86_64-linux-gnu';
const substitute = 'libglibc-symbols.so';
const patchelf = (...args) => runQuietly('patchelf', args);

/** The path of a program that is Bun for musl. */
export async function setUpBunForMusl() {
  installPrograms({ patchelf: 'patchelf', 'ld-musl-config': 'musl' });
  const bun = fetchBunForMusl();
  const directory = path.join(cacheDirectory, 'musl');
  mkdirSync(directory, { recursive: true });
  const shim = path.join(directory, substitute);
  await compileLibrary('x86_64-linux-musl', source, shim);
  for (const name of ['libstdc++.so.6', 'libgcc_s.so.1']) {
    const library = path.join(directory, name);
    copyFileSync(path.join(ofDebian, name), library);
    chmodSync(library, 0o644);
    patchelf('--remove-needed', 'ld-linux-x86-64.so.2', '--add-needed', substitute, library);
  }
  const program = path.join(directory, 'bun');
  writeFileSync(program, `#!/bin/sh\nLD_LIBRARY_PATH='${directory}' exec '${bun}' "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}
