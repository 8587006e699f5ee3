// What the scripts fetch when they first need it: packages that are too large, or for too few, to be a dependency of
// every clone. They are kept outside of the checkout, so that a fresh one, and `npm ci`, find them there.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';

export const cacheDirectory = path.join(
  process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'),
  'holdfast',
);

/**
 * Makes `<cache>/<name>` by `make(directory)`, unless it is there, and hands back its path. It is there whole or not at
 * all, whoever else makes it at the same time and wherever this is killed.
 */
export function cached(name, make) {
  const directory = path.join(cacheDirectory, name);
  if (existsSync(directory)) return directory;
  mkdirSync(path.dirname(directory), { recursive: true });
  const incoming = mkdtempSync(`${directory}.incoming-`);
  try {
    make(incoming);
    renameSync(incoming, directory);
  } catch (error) {
    // Somebody else was faster; what they made is as good.
    if (error.code !== 'ENOTEMPTY') throw error;
  } finally {
    rmSync(incoming, { recursive: true, force: true });
  }
  return directory;
}

/** The directory of a package of npm's registry, which is fetched and verified if it is not there yet. */
export function fetchPackage({ name, version, integrity }) {
  const fileName = `${name.replace('/', '+')}-${version}`;
  const directory = cached(path.join('npm', fileName), (incoming) => {
    console.log(`fetching ${name} ${version} from npm`);
    execFileSync(
      'npm',
      ['pack', '--silent', '--pack-destination', incoming, `${name}@${version}`],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    const archive = path.join(incoming, readdirSync(incoming)[0]);
    const digest = createHash('sha512').update(readFileSync(archive)).digest('base64');
    if (`sha512-${digest}` !== integrity) throw new Error(`${name} ${version}: wrong check sum`);
    execFileSync('tar', ['-xzf', archive, '-C', incoming]);
    rmSync(archive);
  });
  return path.join(directory, 'package');
}

/** What package-lock.json says of a package, also of one for another platform: as `fetchPackage` takes it. */
export function lockedPackage(name) {
  const lock = JSON.parse(readFileSync(path.join(projectDirectory, 'package-lock.json'), 'utf8'));
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  return { name, version, integrity };
}
