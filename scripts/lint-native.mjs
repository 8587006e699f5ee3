// Checks the format of all native code (`--fix` corrects it) and runs clang-tidy over what this system compiles.
// clang-tidy comes with the system, not with npm: where it is missing that half is left out with a notice, except under
// CI=true, where it is an error.
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

import { inParallel } from './in-parallel.mjs';
import { hostSystem, nativeTarget, projectDirectory } from './native-target.mjs';
import { unifiedSource } from './unified-source.mjs';

const clangFormat = createRequire(import.meta.url)('clang-format').getNativeBinary();

function checkFormat(fix) {
  const files = ['native', path.join('test', 'native'), path.join('fuzz', 'native')].flatMap(
    (directory) =>
      readdirSync(path.join(projectDirectory, directory), { recursive: true })
        .filter((file) => /\.(cc|h)$/.test(file))
        .map((file) => path.join(directory, file)),
  );
  const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
  const { status, error } = spawnSync(clangFormat, [...mode, ...files], {
    cwd: projectDirectory,
    stdio: 'inherit',
  });
  if (error) throw error;
  console.log(`clang-format: ${files.length} files, ${status === 0 ? 'in order' : 'findings'}`);
  return status === 0;
}

async function runClangTidy() {
  if (spawnSync('clang-tidy', ['--version']).error) {
    const notice = 'clang-tidy is not installed (Debian: apt-get install clang-tidy)';
    if (process.env.CI === 'true') {
      console.error(`error: ${notice}`);
      return false;
    }
    console.warn(`\nNOTICE: ${notice}. Its checks were left out.\n`);
    return true;
  }
  const { sources, flags } = nativeTarget(hostSystem);
  const unified = unifiedSource(sources);
  const others = onlyInMainFile.map((check) => `,-${check}`).join('');
  const runs = [
    // Most checks look at all headers once more, each time.
    [`--checks=${others}`, unified.file, '--', ...flags, ...unified.flags],
    ...sources.map((source) => [`--checks=-*,${onlyInMainFile}`, source, '--', ...flags]),
  ];
  const answers = await inParallel(runs, tidy);
  const findings = answers.filter((answer) => answer !== null);
  for (const finding of findings) console.error(finding);
  console.log(`clang-tidy: ${sources.length} sources, ${findings.length || 'none'} with findings`);
  return findings.length === 0;
}

/** Checks that say nothing of what a source includes. */
const onlyInMainFile = ['clang-analyzer-*', 'misc-unused-alias-decls', 'misc-unused-using-decls'];

/** What clang-tidy finds, or null. */
async function tidy(args) {
  try {
    await promisify(execFile)('clang-tidy', ['--quiet', '--config-file=.clang-tidy', ...args], {
      cwd: projectDirectory,
      maxBuffer: 1 << 26,
    });
    return null;
  } catch (error) {
    // How it ended counts, not what it said: it also counts, on stderr, the warnings of system headers.
    return error.stdout || error.stderr || error.message;
  }
}

const fix = process.argv.includes('--fix');
const formatted = checkFormat(fix);
const tidied = fix || (await runClangTidy());
process.exitCode = formatted && tidied ? 0 : 1;
