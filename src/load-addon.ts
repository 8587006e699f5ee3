import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, relative, sep } from 'node:path';

import { HoldfastError } from './errors.js';
import { hostLibc } from './host-libc.js';

/** This package, as long as nobody has moved this file out of it. */
export const packageDirectory = join(__dirname, '..');

/**
 * Loads the addon: what was built in this package, a clone or by `holdfast rebuild`, else the binary in it for this host.
 *
 * Nothing from outside of the package is ever loaded. Throws ENOTSUP, with the first error of the system as `cause`, if
 * there is none that this host can load; the message is one line and says what was tried and what to do.
 */
export function loadAddon(root: string = packageDirectory): unknown {
  const file = addonFile(root);
  try {
    return requireFrom(root)(file);
  } catch (cause) {
    const because = String(cause instanceof Error ? cause.message : cause).split('\n', 1)[0] ?? '';
    throw failure(`${relative(root, file)} cannot be loaded: ${because}. ${rebuild}`, cause);
  }
}

/** Node's own function, which no bundler has replaced. */
const requireFrom = (root: string): NodeJS.Require => createRequire(join(root, 'package.json'));

const rebuild =
  `'npx holdfast rebuild' compiles it for this machine, ` +
  'with what node-gyp needs: python3, make and a C++17 compiler';

const bundled =
  'this file is no longer in its package: a bundler has copied it. Leave holdfast out of the bundle (external), ' +
  'and install it beside';

/** Where this file is in the package, and in the two builds of it that tests and fuzzing use. */
const ownPlaces = ['dist/loader.js', 'dist-modules/load-addon.js', 'src/load-addon.ts'];

/**
 * Returns true if this file is where the package has it. A bundle lies anywhere, and the directory above it can belong to
 * another user: a manifest there that has our name proves nothing.
 */
function isInItsPlace(): boolean {
  return ownPlaces.includes(relative(packageDirectory, __filename).replaceAll(sep, '/'));
}

/** Returns true if `file` belongs to the owner of this file, to root or to this user: nobody else has placed it. */
function isPlacedByInstaller(file: string): boolean {
  const user = process.geteuid?.();
  if (user === undefined) return true;
  return [statSync(__filename).uid, 0, user].includes(statSync(file).uid);
}

/** Without it the directory above could be anybody's, and a library in it as well. */
function isThisPackage(root: string): boolean {
  if (root === packageDirectory && !isInItsPlace()) return false;
  try {
    if (!isPlacedByInstaller(join(root, 'package.json'))) return false;
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      name?: unknown;
    };
    return manifest.name === 'holdfast';
  } catch {
    return false;
  }
}

/** The file that `loadAddon` loads, which may not be there. Throws ENOTSUP where it knows of none. */
export function addonFile(root: string = packageDirectory): string {
  if (!isThisPackage(root)) throw failure(bundled);
  const file = unpacked(usualFile(root) ?? rareFile(root));
  if (existsSync(file) && !isPlacedByInstaller(file)) {
    throw failure(
      `${file} belongs to another user than the package ${root}, and is not loaded. ${rebuild}`,
    );
  }
  return file;
}

const buildDirectory = join('build', 'Release');
const prebuildDirectory = join('prebuilds', `${process.platform}-${process.arch}`);

/** Where the addon nearly always is: node-gyp-build, which knows more names, takes as long to load as it does. */
function usualFile(root: string): string | undefined {
  const built = join(root, buildDirectory, 'holdfast.node');
  // node-gyp-build's word for it: in a clone that several systems share, what was built is for one of them.
  if (!process.env.PREBUILDS_ONLY && existsSync(built)) return built;
  const libc = hostLibc();
  const prebuilt = join(
    root,
    prebuildDirectory,
    libc === null ? 'holdfast.node' : `holdfast.${libc}.node`,
  );
  return existsSync(prebuilt) ? prebuilt : undefined;
}

function rareFile(root: string): string {
  let found: string;
  try {
    const nodeGypBuild = requireFrom(root)('node-gyp-build') as { resolve(root: string): string };
    found = nodeGypBuild.resolve(root);
  } catch (cause) {
    const places = `${buildDirectory} and ${prebuildDirectory}`.replaceAll(sep, '/');
    throw failure(`there is none in ${places} of ${root}. ${rebuild}`, cause);
  }
  // It obeys HOLDFAST_PREBUILD, and looks beside the program as well: anybody could have put a library there.
  const inside = relative(root, found);
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw failure(`${found} is outside of the package ${root}, and is not loaded. ${rebuild}`);
  }
  return ofHostLibc(found);
}

/** It goes by the distribution, and by LIBC. Not every system with musl is the one that it knows. */
function ofHostLibc(file: string): string {
  const libc = hostLibc();
  return libc === null ? file : file.replace(/\.(?:glibc|musl)\.node$/, `.${libc}.node`);
}

/**
 * In Electron a package may lie in an archive, whose files only Electron's own functions see. The system's loader needs
 * a real one: packagers put libraries beside the archive.
 */
function unpacked(file: string): string {
  const real = file.replace(`.asar${sep}`, `.asar.unpacked${sep}`);
  return existsSync(real) ? real : file;
}

function failure(why: string, cause?: unknown): HoldfastError {
  const { napi, node } = process.versions;
  const libc = hostLibc();
  const host = [
    `${process.platform}-${process.arch}`,
    ...(libc === null ? [] : [libc]),
    `Node-API ${napi ?? 'unknown'}`,
    `Node ${node}`,
  ].join(', ');
  return new HoldfastError('ENOTSUP', `holdfast has no addon for this program (${host}): ${why}`, {
    ...(cause === undefined ? {} : { cause }),
  });
}
