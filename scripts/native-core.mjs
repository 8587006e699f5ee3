import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { hostSystem, nativeTarget, projectDirectory } from './native-target.mjs';

const compilers = ['clang++', 'clang++-19', 'clang++-16', 'clang++-14', 'g++'];

/** The first of the compilers that is installed; clang alone knows libFuzzer. */
export function findCompiler(accepts = () => true) {
  const found = compilers.filter(accepts).find((name) => !spawnSync(name, ['--version']).error);
  if (found !== undefined) return found;
  throw new Error(`none of ${compilers.filter(accepts).join(', ')} is installed`);
}

/** What binding.gyp compiles here, without the files that see JavaScript values, which need Node. */
function coreSources() {
  const seesJavaScript = /#include ["<](napi\.h|addon_data\.h|(\w+_)?binding\.h)[">]/;
  return nativeTarget(hostSystem).sources.filter(
    (source) => !seesJavaScript.test(readFileSync(path.join(projectDirectory, source), 'utf8')),
  );
}

/**
 * Builds a program of the core and of the sources in the directory `cases`, with the flags `flags` and those for the
 * compiler or the linker alone; hands back its path. `main`: with the main function of programs of test cases.
 */
export async function buildCore({
  name,
  cases,
  flags,
  compileFlags = [],
  linkFlags = [],
  compiler = findCompiler(),
  main = true,
}) {
  const directory = path.join(projectDirectory, 'build', name);
  mkdirSync(directory, { recursive: true });
  const own = readdirSync(path.join(projectDirectory, cases))
    .filter((file) => file.endsWith('.cc'))
    .map((file) => path.join(cases, file));
  const sources = [
    ...coreSources(),
    ...own,
    ...(main ? [path.join('test', 'native', 'main.cc')] : []),
  ];
  const warnings = ['-g', '-Wall', '-Wextra', '-Werror'];
  const compile = [...nativeTarget(hostSystem).flags, ...warnings, ...flags, ...compileFlags];
  const objects = sources.map((source) =>
    path.join(directory, `${source.replaceAll(path.sep, '-')}.o`),
  );
  const queue = sources.map((source, index) => [source, objects[index]]);
  const run = (args) =>
    promisify(execFile)(compiler, args, { cwd: projectDirectory, maxBuffer: 1 << 26 });
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await run([...compile, '-c', job[0], '-o', job[1]]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const program = path.join(directory, name);
  await run([...objects, ...flags, ...linkFlags, '-pthread', '-ldl', '-o', program]);
  return program;
}
