import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { machine } from 'node:os';
import path from 'node:path';

import { fakedClock, fakedClockLibrary } from '../faked-clock.js';
import { addonUnderTest } from '../installed-copy.js';
import { ordinaryUser } from '../ordinary-user.js';
import { projectDirectory } from '../paths.js';
import { ownPidNamespace } from '../pid-namespace.js';
import { copyNode } from '../renamed-node.js';
import { withoutUnnamedFiles } from '../unnamed-files.js';
import { attempt, inTemporaryDirectory, whyNot } from './trial.js';
import type { Probes } from './trial.js';

/** What can be done to processes, and what they are told. */
export const processes = {
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

  /** prlimit(1) of util-linux may change the limits of a process. */
  prlimit: () => whyNot('prlimit', ['--pid', String(process.pid), '--nofile']),

  /** Processes can be given process ids, and a /proc, of their own: unshare(1) of util-linux. */
  pidNamespaces: () => whyNot('unshare', [...ownPidNamespace, 'true']),

  /** Processes can be kept from making files without names: seccomp, and python3 to ask for it. */
  withoutUnnamedFiles: () => {
    const { prefix: [command = '', ...args] = [] } = withoutUnnamedFiles();
    const attempt = [
      ...['import errno, os, sys', 'try: os.open(".", os.O_TMPFILE | os.O_RDWR)'],
      ...['except OSError as error: sys.exit(error.errno != errno.EOPNOTSUPP)', 'sys.exit("made")'],
    ];
    return whyNot(command, [...args, 'python3', '-c', attempt.join('\n')]);
  },

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

  /** Node still runs when its program is copied elsewhere under another name. */
  renamedNode: () =>
    inTemporaryDirectory((directory) => {
      const copy = copyNode(directory);
      const knowsItself =
        'const { realpathSync } = require("node:fs");' +
        'process.exit(realpathSync(process.execPath) === realpathSync(process.argv[1]) ? 0 : 1);';
      return whyNot(copy, ['-e', knowsItself, copy]);
    }),

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
} satisfies Probes;
