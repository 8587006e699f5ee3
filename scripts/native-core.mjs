import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { inParallel } from './in-parallel.mjs';
import { hostSystem, nativeTarget, projectDirectory } from './native-target.mjs';
import { unifiedSource } from './unified-source.mjs';

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
  const unified = unifiedSource(coreSources());
  const sources = [unified.file, ...own, ...(main ? [path.join('test', 'native', 'main.cc')] : [])];
  const warnings = ['-g', '-Wall', '-Wextra', '-Werror'];
  const compile = [
    ...[...nativeTarget(hostSystem).flags, ...unified.flags],
    ...[...warnings, ...flags, ...compileFlags],
  ];
  const run = (args) =>
    promisify(execFile)(compiler, args, { cwd: projectDirectory, maxBuffer: 1 << 26 });
  const objects = await inParallel(sources, async (source, index) => {
    const object = path.join(directory, `${index}.o`);
    await run([...compile, '-c', source, '-o', object]);
    return object;
  });
  const program = path.join(directory, name);
  await run([...objects, ...flags, ...linkFlags, '-pthread', '-ldl', '-o', program]);
  return program;
}
