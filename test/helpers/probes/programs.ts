import { accessSync, constants, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { hostLibc } from '../../../src/host-libc.js';
import { electronProgram } from '../examples.js';
import { anotherUser } from '../ordinary-user.js';
import { electronExample, expressExample, projectDirectory } from '../paths.js';
import { attempt, inTemporaryDirectory, whyNot } from './trial.js';
import type { Probes } from './trial.js';

/** What is installed here. */
export const programs = {
  /** A shell of POSIX. */
  posixShell: () => whyNot('sh', ['-c', 'true']),

  /** flock(1) of util-linux. */
  flockCommand: () =>
    inTemporaryDirectory((directory) => whyNot('flock', [path.join(directory, 'file'), 'true'])),

  /** python3 with its fcntl module. */
  python: () => whyNot('python3', ['-c', 'import fcntl']),

  /** Two names can be exchanged in one step, by python3, and children can be started as other users. */
  swapAttacks: () =>
    process.getuid?.() !== 0
      ? 'this process is not root'
      : inTemporaryDirectory((directory) => {
          const [name, other] = [path.join(directory, 'name'), path.join(directory, 'other')];
          writeFileSync(name, '');
          writeFileSync(other, '');
          const script = [
            'import ctypes, sys',
            'libc = ctypes.CDLL(None, use_errno=True)',
            'first, second = map(str.encode, sys.argv[1:])',
            'swap = libc.renamex_np(first, second, 2) if sys.platform == "darwin" \\',
            '    else libc.renameat2(-100, first, -100, second, 2)',
            'sys.exit(swap and ctypes.get_errno())',
          ];
          return (
            whyNot('python3', ['-c', script.join('\n'), name, other]) ??
            whyNot(process.execPath, ['-e', 'process.exit()'], anotherUser)
          );
        }),

  /** npm can be started without a shell. */
  npm: () => whyNot('npm', ['--version']),

  /** A compiler for C. */
  compiler: () => whyNot('cc', ['--version']),

  /** What the programs in C of the benchmark are compiled with. */
  gcc: () => whyNot('gcc', ['--version']),

  /** node-gyp finds what it needs; of that, a compiler and make are likely to be missing. */
  nativeBuild: () => whyNot('c++', ['--version']) ?? whyNot('make', ['--version']),

  /** scripts/cross-compile.mjs runs here. */
  crossCompiler: () =>
    process.platform === 'linux' && process.arch === 'x64'
      ? null
      : 'the cross-compiler is a program for Linux on x64',

  /** There are programs for more than one C library, and each names its own. */
  severalLibcs: () => (hostLibc() === null ? 'programs name no C library' : null),

  /** `npm ci --prefix examples/express-jobs` has been run. */
  expressExample: () =>
    attempt(() => createRequire(path.join(expressExample, 'server.mjs')).resolve('express')),

  /** Electron's own program was downloaded for examples/electron, and there is an X server that needs no display. */
  electron: () =>
    attempt(() => accessSync(electronProgram(electronExample), constants.X_OK)) ??
    whyNot('xvfb-run', ['--help']),

  /** `npm ci --prefix bench` has been run: what holdfast is compared with is there, and loads in this Node. */
  peers: () =>
    whyNot(process.execPath, [
      '-e',
      'for (const name of process.argv.slice(2)) require(require.resolve(name, { paths: [process.argv[1]] }))',
      path.join(projectDirectory, 'bench'),
      ...['proper-lockfile', 'fs-native-extensions'],
    ]) ??
    attempt(() => {
      const resolve = createRequire(path.join(projectDirectory, 'bench', 'package.json')).resolve;
      for (const name of ['write-file-atomic', '@openclaw/fs-safe/atomic']) resolve(name);
    }),
} satisfies Probes;
