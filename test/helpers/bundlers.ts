import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

import { projectDirectory } from './paths.js';

const description = path.join(projectDirectory, 'test', 'bundlers');

/**
 * The node_modules of test/bundlers: together they are too large to be dependencies of every clone. Installed when they
 * are first asked for, into the cache that the scripts use.
 */
export function installBundlers(): string {
  const cache = process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache');
  const lock = readFileSync(path.join(description, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const directory = path.join(cache, 'holdfast', `bundlers-${hash}`);
  if (!existsSync(directory)) {
    mkdirSync(path.dirname(directory), { recursive: true });
    const incoming = mkdtempSync(`${directory}.incoming-`);
    cpSync(description, incoming, { recursive: true });
    const options = ['--no-audit', '--no-fund'];
    const { status, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', ...options], {
      cwd: incoming,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`npm ci: ${stderr}`);
    renameSync(incoming, directory);
  }
  return path.join(directory, 'node_modules');
}
