// What scripts take from Debian's archive.
import { execFileSync, spawnSync } from 'node:child_process';

/** Installs packages, each named by a program of it, unless that program is there. Needs root where one is missing. */
export function installPrograms(packages) {
  const missing = Object.entries(packages)
    .filter(([program]) => spawnSync('which', [program]).status !== 0)
    .map(([, name]) => name);
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(', ')}`);
  apt('update', '--quiet=2');
  apt('install', '--quiet=2', '--yes', '--no-install-recommends', ...missing);
}

function apt(...args) {
  runQuietly('apt-get', args, { ...process.env, DEBIAN_FRONTEND: 'noninteractive' });
}

/** The archive of Debian that this machine uses. */
export function findMirror() {
  const targets = [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Identifier: Packages',
    'Label: Debian',
  ];
  const [first] = execFileSync('apt-get', targets, { encoding: 'utf8' }).split('\n');
  return first || 'http://deb.debian.org/debian';
}

/** Runs a program to its end; what it says is shown if it fails. */
export function runQuietly(command, args, env = process.env) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: Infinity,
  });
  if (status === 0) return;
  throw new Error(`${command} ended with ${error ?? signal ?? status}:\n${stdout}${stderr}`);
}
