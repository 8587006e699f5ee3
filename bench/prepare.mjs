// What a run needs: the packages to be compared with, and the programs in C.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { candidates } from './candidates/index.mjs';
import { compiled } from './processes.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** A package that is there may still not load: it was not compiled, or is not for this Node. */
const loads = (name) =>
  spawnSync(
    process.execPath,
    ['-e', 'import(process.argv[1]).catch(() => process.exit(1))', name],
    {
      cwd: here,
    },
  ).status === 0;

/** Those among the candidates whose packages cannot be used. */
export const missingCandidates = (names) =>
  names.filter((name) => {
    const { package: needed } = candidates[name];
    return needed !== undefined && name !== 'holdfast' && !loads(needed);
  });

/** Installs what is missing. What cannot be had (a package that does not compile here) is said, and not compared. */
export function installPeers(names) {
  if (missingCandidates(names).length === 0) return;
  console.log('Installing the packages that holdfast is compared with …');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  // Not `npm ci`: it refuses a lock file made where a package had no binary for this system.
  npm('install', '--no-save', ...quiet);
  // An installation that leaves scripts out, and is kept, is not compiled by the next one.
  if (missingCandidates(names).length > 0) npm('rebuild', ...quiet);
}

function npm(...args) {
  const program = process.env.npm_execpath;
  const command = program === undefined ? ['npm', ...args] : [process.execPath, program, ...args];
  const { status, error } = spawnSync(command[0], command.slice(1), {
    cwd: here,
    stdio: 'inherit',
  });
  if (status !== 0) console.log(`npm ended with ${error?.message ?? status}`);
}

/** Compiles the programs in C that have changed. Returns why that cannot be done, or null. */
export function compilePrograms() {
  const sources = path.join(here, 'c');
  mkdirSync(compiled, { recursive: true });
  const headers = readdirSync(sources).filter((name) => name.endsWith('.h'));
  for (const source of readdirSync(sources).filter((name) => name.endsWith('.c'))) {
    const output = path.join(compiled, path.basename(source, '.c'));
    const newest = Math.max(
      ...[source, ...headers].map((name) => statSync(path.join(sources, name)).mtimeMs),
    );
    if (existsSync(output) && statSync(output).mtimeMs > newest) continue;
    const { status, error, stderr } = spawnSync(
      'gcc',
      [
        ...['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'],
        ...['-o', output, path.join(sources, source)],
      ],
      { encoding: 'utf8' },
    );
    if (error) return `gcc cannot be run: ${error.message}`;
    if (status !== 0) return `${source} does not compile: ${stderr}`;
  }
  return null;
}
