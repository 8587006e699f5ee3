import { spawnSync } from 'node:child_process';
import path from 'node:path';

import type { ChildOptions } from './child.js';
import { fixturesDirectory } from './paths.js';

const filter = path.join(fixturesDirectory, 'without-unnamed-files.py');

let python: string | undefined;

/** The interpreter itself: what is found by its name may be a slow script that looks for it. */
function pythonPath(): string {
  if (python === undefined) {
    const print = ['-c', 'import sys; print(sys.executable)'];
    const { error, stdout } = spawnSync('python3', print, { encoding: 'utf8' });
    python = error ? 'python3' : stdout.trim();
  }
  return python;
}

/**
 * Options for a process, of `identity` or of the user of this run, to which every file system is one without unnamed files:
 * the kernel refuses O_TMPFILE. Asks for the capability `withoutUnnamedFiles`.
 */
export function withoutUnnamedFiles(identity?: { uid: number; gid: number }): ChildOptions {
  const { uid, gid } = identity ?? { uid: process.geteuid?.(), gid: process.getegid?.() };
  return { prefix: [pythonPath(), filter, `${String(uid)}:${String(gid)}`] };
}
