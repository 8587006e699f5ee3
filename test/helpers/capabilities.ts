import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { machine, tmpdir } from 'node:os';
import path from 'node:path';

import { lockSync, replaceFileSync } from 'holdfast';

import { hostLibc } from '../../src/host-libc.js';
import { makeDirectoryLink, removeDirectoryLink } from './directory-link.js';
import { fakedClock, fakedClockLibrary } from './faked-clock.js';
import { addonUnderTest } from './installed-copy.js';
import { electronExample, expressExample, projectDirectory } from './paths.js';
import { copyNode } from './renamed-node.js';
import { withoutUnnamedFiles } from './unnamed-files.js';

/** The user that tests take for "somebody else, without privileges": Debian's, macOS's and BSD's `nobody`. */
export const ordinaryUser = { uid: 65_534, gid: 65_534 } as const;

/** Arguments of unshare(1), before a command line. */
export const ownPidNamespace = ['--pid', '--fork', '--kill-child', '--mount-proc'] as const;

/** Each probe tries the thing itself and hands back why it does not work, or null. */
const probes = {
  /** Children can be started as `ordinaryUser`, and that user can read this checkout. */
  ordinaryUser: () =>
    process.getuid?.() === 0
      ? whyNot(
          process.execPath,
          ['-e', 'require(process.argv[1])', path.join(projectDirectory, 'package.json')],
          ordinaryUser,
        )
      : 'this process is not root',

  /** A process can be sent signals that do not end it, such as SIGSTOP, and catch others. */
  signals: () => attempt(() => process.kill(process.pid, 'SIGCONT')),

  /** Processes have groups, which can be asked for what is left of them. */
  processGroups: () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { detached: true });
    try {
      return attempt(() => process.kill(-Number(child.pid), 0));
    } finally {
      child.kill('SIGKILL');
    }
  },

  /** A file has the mode that it is given. */
  modes: () =>
    inTemporaryDirectory((directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, '', { mode: 0o610 });
      const mode = statSync(file).mode & 0o777;
      return mode === 0o610 ? null : `mode 0610 becomes 0${mode.toString(8)}`;
    }),

  /** Symbolic links can be made, and are seen as what they are. */
  symlinks: () =>
    inTemporaryDirectory((directory) =>
      attempt(() => {
        const link = path.join(directory, 'link');
        symlinkSync('absent', link);
        // Wine makes nothing, and says nothing of it.
        if (!lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink()) {
          throw new Error('symlink() succeeds and makes no link');
        }
      }),
    ),

  /** Links to directories can be made. */
  directoryLinks: () =>
    inTemporaryDirectory((directory) =>
      attempt(() => {
        const link = path.join(directory, 'link');
        try {
          makeDirectoryLink(directory, link);
        } finally {
          removeDirectoryLink(link);
        }
      }),
    ),

  /** Where a link to a directory leads can be read: Wine follows one without telling. */
  readableDirectoryLinks: () =>
    inTemporaryDirectory((directory) =>
      attempt(() => {
        const link = path.join(directory, 'link');
        try {
          makeDirectoryLink(directory, link);
          readlinkSync(link);
        } finally {
          removeDirectoryLink(link);
        }
      }),
    ),

  /** Files can be made that have no name: open(2), O_TMPFILE. */
  unnamedFiles: () =>
    inTemporaryDirectory((directory) =>
      attempt(() => {
        // Some systems have no such constants, and take what they do not know for nothing.
        if (process.platform !== 'linux') throw new Error(`${process.platform} has none`);
        const temporaryFile = 0o20_000_000 | constants.O_DIRECTORY;
        closeSync(openSync(directory, temporaryFile | constants.O_RDWR));
      }),
    ),

  /** A file that somebody has open and locked loses its name when that is removed, and not later. */
  unlinkOpenFiles: () =>
    inTemporaryDirectory((directory) => {
      const held = lockSync(path.join(directory, 'file'));
      try {
        unlinkSync(held.lockPath);
        return existsSync(held.lockPath) ? 'the name stays until the file is closed' : null;
      } finally {
        held.releaseSync();
      }
    }),

  /** A file can be renamed over one that somebody has open. */
  renameOverOpenFiles: () =>
    withOpenFile((file) => {
      writeFileSync(`${file}-new`, '');
      return attempt(() => {
        renameSync(`${file}-new`, file);
      });
    }),

  /** A file that somebody has open is replaced in one step, so that its name always leads somewhere. */
  replaceOpenFiles: () =>
    withOpenFile((file) => {
      const { method } = replaceFileSync(file, '', { copyFallback: 'never', retry: 0 });
      return method === 'rename' ? null : `it takes ${method}`;
    }),

  /** A file has the time at which it was made, which tells it from one that gets its number later. */
  birthTimes: () =>
    inTemporaryDirectory((directory) => {
      const { birthtimeNs, ctimeNs } = statSync(directory, { bigint: true });
      if (birthtimeNs === 0n) return 'the file system does not tell';
      utimesSync(directory, 1, 1);
      writeFileSync(path.join(directory, 'file'), '');
      const later = statSync(directory, { bigint: true });
      return later.birthtimeNs === birthtimeNs && later.ctimeNs !== ctimeNs
        ? null
        : 'it moves when the file is changed';
    }),

  /** The kernel wakes who waits for a lock, in the order in which they came or nearly so. */
  kernelLockWaits: () =>
    process.env.WINEPREFIX === undefined
      ? null
      : 'Wine never grants a lock that is waited for, so that it is tried on a timer',

  /** FIFOs can be made. */
  fifos: () =>
    inTemporaryDirectory((directory) => whyNot('mkfifo', [path.join(directory, 'fifo')])),

  /** Sockets have names among the files. */
  socketFiles: () =>
    inTemporaryDirectory((directory) =>
      whyNot(process.execPath, [
        '-e',
        "require('node:net').createServer().listen(process.argv[1], process.exit)",
        path.join(directory, 'socket'),
      ]),
    ),

  /** A process can be shown another wall clock: libfaketime. */
  fakedClock: () => {
    const library = fakedClockLibrary();
    if (library === undefined) return 'libfaketime is not installed';
    return inTemporaryDirectory((directory) => {
      const clock = path.join(directory, 'clock');
      writeFileSync(clock, '+2d');
      const { stdout } = spawnSync(process.execPath, ['-p', 'Date.now()'], {
        encoding: 'utf8',
        env: { ...process.env, ...fakedClock(clock) },
      });
      const ahead = Number(stdout) - Date.now();
      return ahead > 86_400_000 ? null : `the clock is ${ahead} ms ahead instead of two days`;
    });
  },

  /** A shell of POSIX. */
  posixShell: () => whyNot('sh', ['-c', 'true']),

  /** npm can be started without a shell. */
  npm: () => whyNot('npm', ['--version']),

  /** node-gyp finds what it needs; of that, a compiler and make are likely to be missing. */
  nativeBuild: () => whyNot('c++', ['--version']) ?? whyNot('make', ['--version']),

  /** scripts/cross-compile.mjs runs here. */
  crossCompiler: () =>
    process.platform === 'linux' && process.arch === 'x64'
      ? null
      : 'the cross-compiler is a program for Linux on x64',

  /** There are programs for more than one C library, and each names its own. */
  severalLibcs: () => (hostLibc() === null ? 'programs name no C library' : null),

  /** Node still runs when its program is copied elsewhere under another name. */
  renamedNode: () =>
    inTemporaryDirectory((directory) => {
      const copy = copyNode(directory);
      const knowsItself =
        'const { realpathSync } = require("node:fs");' +
        'process.exit(realpathSync(process.execPath) === realpathSync(process.argv[1]) ? 0 : 1);';
      return whyNot(copy, ['-e', knowsItself, copy]);
    }),

  /** strace exists and may trace. */
  strace: () => whyNot('strace', ['-f', '-o', '/dev/null', 'true']),

  /** strace may come to a process that runs already, which a security module may keep for root. */
  straceAttach: () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()']);
    try {
      const tracer = spawnSync('strace', ['-o', '/dev/null', '-p', `${child.pid}`], {
        encoding: 'utf8',
        timeout: 500,
      });
      // A tracer that could attach stays until it is ended.
      if (tracer.status === null && tracer.signal !== null) return null;
      return tracer.error?.message ?? tracer.stderr.trim();
    } finally {
      child.kill('SIGKILL');
    }
  },

  /** flock(1) of util-linux. */
  flockCommand: () =>
    inTemporaryDirectory((directory) => whyNot('flock', [path.join(directory, 'file'), 'true'])),

  /** python3 with its fcntl module. */
  python: () => whyNot('python3', ['-c', 'import fcntl']),

  /** Processes can be kept from making files without names: seccomp, and python3 to ask for it. */
  withoutUnnamedFiles: () => {
    const { prefix: [command = '', ...args] = [] } = withoutUnnamedFiles();
    const attempt = [
      ...['import errno, os, sys', 'try: os.open(".", os.O_TMPFILE | os.O_RDWR)'],
      ...['except OSError as error: sys.exit(error.errno != errno.EOPNOTSUPP)', 'sys.exit("made")'],
    ];
    return whyNot(command, [...args, 'python3', '-c', attempt.join('\n')]);
  },

  /** A compiler for C. */
  compiler: () => whyNot('cc', ['--version']),

  /** What the programs in C of the benchmark are compiled with. */
  gcc: () => whyNot('gcc', ['--version']),

  /** prlimit(1) of util-linux may change the limits of a process. */
  prlimit: () => whyNot('prlimit', ['--pid', String(process.pid), '--nofile']),

  /** Processes can be given process ids, and a /proc, of their own: unshare(1) of util-linux. */
  pidNamespaces: () => whyNot('unshare', [...ownPidNamespace, 'true']),

  /** Device nodes can be made. */
  mknod: () =>
    inTemporaryDirectory((directory) =>
      whyNot('mknod', [path.join(directory, 'null'), 'c', '1', '3']),
    ),

  /** A tmpfs can be mounted and unmounted. */
  mountTmpfs: () =>
    inTemporaryDirectory(
      (directory) =>
        whyNot('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]) ??
        whyNot('umount', [directory]),
    ),

  /** A small ext4 can be made in a file and mounted. */
  mountExt4: () =>
    inTemporaryDirectory((directory) => {
      const image = path.join(directory, 'image');
      const place = path.join(directory, 'place');
      writeFileSync(image, '');
      truncateSync(image, 2 * 1024 * 1024);
      mkdirSync(place);
      return (
        whyNot('mkfs.ext4', ['-q', '-F', image]) ??
        whyNot('mount', ['-o', 'loop', image, place]) ??
        whyNot('umount', [place])
      );
    }),

  /** A file can be mounted over another one. */
  bindMount: () =>
    inTemporaryDirectory((directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, '');
      return whyNot('mount', ['--bind', file, file]) ?? whyNot('umount', [file]);
    }),

  /** Temporary files can have extended attributes and access control lists, and python3 can set them. */
  extendedAttributes: () =>
    inTemporaryDirectory((directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, '');
      const list = '0200000001000600ffffffff04000400ffffffff20000400ffffffff';
      return whyNot('python3', [
        '-c',
        'import os, sys; os.setxattr(sys.argv[1], "user.a", b"b");' +
          'os.setxattr(sys.argv[1], "system.posix_acl_access", bytes.fromhex(sys.argv[2]))',
        ...[file, list],
      ]);
    }),

  /** Paths begin with a drive, and backslashes separate names. */
  windowsPaths: () => {
    const file = `\\\\?\\${process.execPath}`;
    return existsSync(file) ? null : `${file} does not exist`;
  },

  /** Processes can be bound to one another by a job object. */
  jobObjects: () =>
    // In a process of its own, which is then bound.
    whyNot(process.execPath, [
      '-e',
      "const native = require(process.argv[1]).open(new Float64Array(5), 'probe', () => {});" +
        'const error = native.bindDescendants();' +
        'if (error) { console.error(error.syscall, error.description); process.exit(1); }',
      addonUnderTest,
    ]),

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

  /** /proc tells about this process; what Wine shows of it is about the processes of another system. */
  proc: () =>
    attempt(() => {
      const stat = readFileSync('/proc/self/stat', 'utf8');
      if (!stat.startsWith(`${process.pid} `)) throw new Error('/proc has other process ids');
    }),

  /**
   * The processor is the one that this Node was compiled for. An emulator of another one does not pass every system call on,
   * catches all signals itself, and starts what was compiled here without it.
   */
  ownProcessor: () => {
    const { stdout, status } = spawnSync('uname', ['-m'], { encoding: 'utf8' });
    return status !== 0 || stdout.trim() === machine()
      ? null
      : `it is ${stdout.trim()}, and passes for ${machine()}`;
  },

  /** A process finds the same time of its start in /proc as others do, where there is /proc. An emulator may make one up. */
  sameStartTime: () => {
    const file = `/proc/${process.pid}/stat`;
    if (!existsSync(file)) return null;
    const startTime = (stat: string): string | undefined =>
      stat.slice(stat.lastIndexOf(')')).split(' ')[20];
    const own = startTime(readFileSync('/proc/self/stat', 'utf8'));
    const { stdout } = spawnSync('cat', [file], { encoding: 'utf8' });
    return own === startTime(stdout) ? null : 'others are told of another time';
  },
} satisfies Record<string, () => string | null>;

/** Electron's own program, as its package names it; throws where there is none. */
export function electronProgram(example: string): string {
  return createRequire(path.join(example, 'main.cjs'))('electron') as string;
}

export type Capability = keyof typeof probes;

const results = new Map<Capability, string | null>();

/**
 * Whether this machine can do all of these; what it cannot is printed with the reason. For `test.runIf(has('strace'))`:
 * a test asks for what it needs and never for a platform by name.
 */
export function has(...capabilities: Capability[]): boolean {
  return capabilities.filter((capability) => !isPresent(capability)).length === 0;
}

function isPresent(capability: Capability): boolean {
  let reason = results.get(capability);
  if (reason === undefined) {
    reason = probes[capability]();
    results.set(capability, reason);
    if (reason !== null) {
      process.stderr.write(`What needs ${capability} is left out: ${reason}\n`);
    }
  }
  return reason === null;
}

/** Why `action` fails, or null. */
function attempt(action: () => void): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function whyNot(
  command: string,
  args: readonly string[],
  identity: { uid?: number; gid?: number } = {},
): string | null {
  const result = spawnSync(command, args, { ...identity, encoding: 'utf8', timeout: 10_000 });
  if (result.error) return result.error.message;
  if (result.status === 0) return null;
  const output = `${result.stderr}${result.stdout}`.trim();
  return `${command} ended with ${String(result.status ?? result.signal)}: ${output}`;
}

function withOpenFile(use: (file: string) => string | null): string | null {
  return inTemporaryDirectory((directory) => {
    const file = path.join(directory, 'file');
    const descriptor = openSync(file, 'w');
    try {
      return use(file);
    } finally {
      closeSync(descriptor);
    }
  });
}

function inTemporaryDirectory(use: (directory: string) => string | null): string | null {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-probe-'));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
