import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { lockSync, replaceFileSync } from 'holdfast';

import { makeDirectoryLink, removeDirectoryLink } from '../directory-link.js';
import { attempt, inTemporaryDirectory, whyNot, withOpenFile } from './trial.js';
import type { Probes } from './trial.js';

/** What the file system can do, and what may be asked of it. */
export const files = {
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
  directoryLinks: () => withDirectoryLink(() => undefined),

  /** Where a link to a directory leads can be read: Wine follows one without telling. */
  readableDirectoryLinks: () => withDirectoryLink(readlinkSync),

  /** Paths begin with a drive, and backslashes separate names. */
  windowsPaths: () => {
    const file = `\\\\?\\${process.execPath}`;
    return existsSync(file) ? null : `${file} does not exist`;
  },

  /** Directories can be made in which no name is removed: chattr(1). */
  appendOnly: () =>
    inTemporaryDirectory(
      (directory) => whyNot('chattr', ['+a', directory]) ?? whyNot('chattr', ['-a', directory]),
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

  /** Files can have access control lists, and directories default ones, which setfacl sets and getfacl prints. */
  accessLists: () =>
    inTemporaryDirectory(
      (directory) =>
        whyNot('setfacl', ['-m', 'u:65533:r,d:u:65533:r', directory]) ??
        whyNot('getfacl', ['-p', directory]),
    ),

  /** A file can have a lease (F_SETLEASE), and python3 can take it. */
  leases: () =>
    inTemporaryDirectory((directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, '');
      return whyNot('python3', [
        '-c',
        'import fcntl, os, sys;' +
          'fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)',
        file,
      ]);
    }),

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

  /** A program can be run that sees no /proc. */
  withoutProc: () =>
    whyNot('unshare', [
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs none /proc && ! test -e /proc/self',
    ]) ?? whyNot('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'true']),

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

  /** There is a device on which every write fails with ENOSPC. */
  fullDevice: () => attempt(() => closeSync(openSync('/dev/full', 'w'))),

  /** A file can be mounted over another one. */
  bindMount: () =>
    inTemporaryDirectory((directory) => {
      const file = path.join(directory, 'file');
      writeFileSync(file, '');
      return whyNot('mount', ['--bind', file, file]) ?? whyNot('umount', [file]);
    }),
} satisfies Probes;

function withDirectoryLink(use: (link: string) => unknown): string | null {
  return inTemporaryDirectory((directory) =>
    attempt(() => {
      const link = path.join(directory, 'link');
      try {
        makeDirectoryLink(directory, link);
        use(link);
      } finally {
        removeDirectoryLink(link);
      }
    }),
  );
}
