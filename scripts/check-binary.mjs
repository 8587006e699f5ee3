// What must be true of a binary before it is given to anybody: see `complaintsAbout`.
import { homedir } from 'node:os';

import { binaryFacts, compareVersions } from './binary-facts.mjs';
import { entryPoints, nodeApiFunctions } from './cross-compile.mjs';
import { cacheDirectory } from './downloads.mjs';
import { projectDirectory } from './native-target.mjs';

/** The libraries that every system of its kind has. */
const systemLibraries = {
  'linux-glibc': ['libc.so.6', 'libdl.so.2', 'libm.so.6', 'libpthread.so.0'],
  'linux-musl': ['libc.so'],
  darwin: ['/usr/lib/libSystem.B.dylib'],
  win32: [
    ...['ADVAPI32.dll', 'KERNEL32.dll', 'RSTRTMGR.dll', 'bcrypt.dll', 'msvcrt.dll', 'ntdll.dll'],
  ],
};

const largest = 1_500_000;

/** Why the binary `image` must not be released for `target`, of scripts/targets.mjs: nothing, if all is well. */
export function complaintsAbout(image, target) {
  const facts = binaryFacts(image);
  const complaints = [];
  const demand = (holds, complaint) => {
    if (!holds) complaints.push(complaint);
  };
  const { kind, architecture, floor } = target;

  demand(facts.architecture === architecture, `it is made for ${facts.architecture}`);
  demand(image.length <= largest, `it is ${image.length} bytes large`);
  demand(facts.stripped, 'it is not stripped');
  // macOS on arm64 starts nothing that is not signed, by whomever.
  demand(kind !== 'darwin' || architecture !== 'arm64' || facts.signed, 'it is not signed');

  const missing = entryPoints.filter((name) => !facts.exports.includes(name));
  demand(missing.length === 0, `it does not export ${missing.join(', ')}`);
  // On macOS and Windows a symbol is looked up in the library that it is said to come from, so that it does no harm what
  // else is exported: there by zig's linker all that is not static, here by its libunwind what is marked so.
  const others = facts.exports.filter((name) => !entryPoints.includes(name));
  const mayExportMore = kind === 'darwin' || kind === 'win32';
  demand(mayExportMore || others.length === 0, `it exports ${others.slice(0, 5).join(', ')}`);

  const nodeApi = new Set(nodeApiFunctions());
  const foreign = facts.fromHost.filter((name) => !nodeApi.has(name));
  demand(foreign.length === 0, `it needs what is not of Node-API 8: ${foreign.join(', ')}`);
  const known = systemLibraries[kind].map((name) => name.toLowerCase());
  const additional = facts.libraries.filter((name) => !known.includes(name.toLowerCase()));
  demand(additional.length === 0, `it needs ${additional.join(', ')}`);
  if (floor !== null) {
    const fits = facts.floor !== null && compareVersions(facts.floor, floor) <= 0;
    demand(fits, `it needs version ${facts.floor} of the system, and ${floor} is promised`);
  }

  for (const directory of [projectDirectory, cacheDirectory, homedir(), '/home/', '/Users/']) {
    if (directory !== '/') demand(!image.includes(directory), `it names ${directory}`);
  }
  return complaints;
}
