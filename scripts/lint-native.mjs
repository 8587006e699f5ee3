// Checks the format of all native code (`--fix` corrects it) and runs clang-tidy over what this system compiles.
// clang-tidy comes with the system, not with npm: where it is missing that half is left out with a notice, except under
// CI=true, where it is an error.
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { hostSystem, nativeTarget, projectDirectory } from './native-target.mjs';

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
  const queue = [...sources];
  let findings = 0;
  const worker = async () => {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      const answer = await tidy(source, flags);
      if (answer !== null) {
        findings += 1;
        console.error(answer);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  console.log(`clang-tidy: ${sources.length} sources, ${findings || 'none'} with findings`);
  return findings === 0;
}

/** What clang-tidy finds in `source`, or null. */
async function tidy(source, flags) {
  try {
    await promisify(execFile)('clang-tidy', ['--quiet', source, '--', ...flags], {
      cwd: projectDirectory,
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
