import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { NativeError } from './native.js';
import type { LockHolder } from './record.js';

/** Permanent codes of the conditions that are holdfast's own, and of its refusals. Messages may change, codes do not. */
export type HoldfastErrorCode =
  /** The lock was not granted within `timeout`. */
  | 'ETIMEDOUT'
  /** The wait could never end, since this thread or this flow holds the lock itself. */
  | 'EDEADLK'
  /** The lock was lost while it was held. */
  | 'ECOMPROMISED'
  /** Foreign or damaged data where a lock file should be. */
  | 'ECORRUPT'
  /** A link stands where a file or directory should be. */
  | 'ELOOP'
  /** More than one name leads to the file. */
  | 'EMLINK'
  /** Compare-and-swap: the file is not the one that was expected. */
  | 'ECONFLICT'
  /** A directory, where a file is to be replaced. */
  | 'EISDIR'
  /** The path leads out of the directory that it was to stay in. */
  | 'EXDEV'
  /** Not a regular file. */
  | 'EINVAL'
  /** Owned by somebody who could have planted it. */
  | 'EPERM'
  /** The file exists and may not be opened. */
  | 'EACCES'
  /** Mounted, and replaced where it is mounted from. The system's own ESTALE is not of this class. */
  | 'ESTALE'
  /** holdfast has no addon that this program can load. The system's own ENOTSUP is not of this class. */
  | 'ENOTSUP';

export interface HoldfastErrorFields {
  errno?: number;
  win32Code?: number;
  syscall?: string;
  path?: string;
  refused?: boolean;
  holder?: LockHolder | null;
  cause?: unknown;
}

/**
 * A condition of holdfast's own. Failures of the operating system are not of this class: they are plain errors that
 * look exactly like those of `node:fs`.
 */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  readonly code: HoldfastErrorCode;
  readonly errno?: number;
  /** What Windows answered, where it was asked; the errors of the operating system have it, too. */
  readonly win32Code?: number;
  readonly syscall?: string;
  readonly path?: string;
  /** The lock file could have been used and was not, because using it would not have been safe. Never retried. */
  readonly refused: boolean;
  /** Who holds the lock, as far as it is known; set on ETIMEDOUT. */
  readonly holder?: LockHolder | null;

  constructor(code: HoldfastErrorCode, message: string, fields: HoldfastErrorFields = {}) {
    super(`${code}: ${message}`, 'cause' in fields ? { cause: fields.cause } : undefined);
    this.code = code;
    this.refused = fields.refused ?? false;
    if (fields.errno !== undefined) this.errno = fields.errno;
    if (fields.win32Code !== undefined) this.win32Code = fields.win32Code;
    if (fields.syscall !== undefined) this.syscall = fields.syscall;
    if (fields.path !== undefined) this.path = fields.path;
    if (fields.holder !== undefined) this.holder = fields.holder;
  }
}

/** Whether a compare-and-swap found another file than it expected. */
export function isConflict(error: unknown): boolean {
  return error instanceof HoldfastError && error.code === 'ECONFLICT';
}

interface RefusalKind {
  code: HoldfastErrorCode;
  reason: (owner: number) => string;
}

// On Windows the number only tells whether two owners are one.
const byWhom = (owner: number) =>
  owner >= 0 && process.platform !== 'win32' ? ` (owner: uid ${owner})` : '';

/** In the order of `Refusal` in native/error.h. */
const refusals: readonly (RefusalKind | null)[] = [
  null,
  { code: 'ELOOP', reason: (owner) => `refused to follow a link${byWhom(owner)}` },
  {
    code: 'EMLINK',
    reason: (owner) =>
      `refused a file with more than one name (hard link)${byWhom(owner)}: remove the other names`,
  },
  {
    code: 'EINVAL',
    reason: (owner) =>
      `refused what is not a regular file${byWhom(owner)}: move it away, or use another path`,
  },
  {
    code: 'EPERM',
    reason: (owner) =>
      `refused a file that another user can have planted${byWhom(owner)}: remove it, or accept ` +
      `it with owners: 'any', unless it is to be written into`,
  },
  { code: 'ECORRUPT', reason: () => 'refused a file that holds other data' },
  {
    code: 'EACCES',
    reason: (owner) => `the file exists and may not be opened${byWhom(owner)}`,
  },
  { code: 'EISDIR', reason: () => 'refused to replace a directory by a file' },
  { code: 'EXDEV', reason: () => 'refused a path that leads out of its directory' },
  { code: 'EPERM', reason: () => 'refused a directory with other permissions than required' },
  {
    code: 'EACCES',
    reason: () =>
      'nothing can be created beside the file that could be relied on after a crash, and a copy into it needs an undo file: ' +
      `option 'journalDir' gives that a place`,
  },
  {
    code: 'EPERM',
    reason: (owner) =>
      `refused the undo file of another user${byWhom(owner)}: a copy into the file was cut short, ` +
      'and that user has to read the file first',
  },
  {
    code: 'ECORRUPT',
    reason: (owner) =>
      `refused what has a name of holdfast's own and is not its file${byWhom(owner)}: remove it`,
  },
  {
    code: 'ECORRUPT',
    reason: () =>
      'the file was changed after a copy into it was cut short: remove the undo file to keep what it holds now; ' +
      'the old contents are at the end of the undo file',
  },
  {
    code: 'ESTALE',
    reason: () => 'the file was replaced outside this mount: mount it again',
  },
];

// Windows numbers some among the errors of sockets: WSAESTALE.
const errnoNames = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name.replace(/^WSA/, '')]),
);

interface SystemError {
  /** Negative, as Node has it. */
  errno: number;
  name: string;
  text: string | undefined;
}

/** Node's number and name for a number of the C library: on POSIX systems libuv negates it, on Windows it has its own. */
function systemErrorOf(errno: number): SystemError {
  const map = getSystemErrorMap();
  const known = map.get(-errno);
  if (known) return { errno: -errno, name: known[0], text: known[1] };
  const name = errnoNames.get(errno) ?? 'UNKNOWN';
  for (const [number, [candidate, text]] of map) {
    if (candidate === name) return { errno: number, name, text };
  }
  // libuv's table lacks some of what flock() answers, ENOLCK for one.
  return { errno: -errno, name, text: undefined };
}

/** The error for what the addon reported, in the shape of Node's own. */
export function toError(native: NativeError): Error {
  const { syscall, path, owner } = native;
  const { errno, name: systemCode, text } = systemErrorOf(native.errno);
  const system = native.systemCode === 0 ? {} : { win32Code: native.systemCode };
  // Not every call is about a file.
  const call = path === '' ? syscall : `${syscall} '${path}'`;
  const refusal = refusals[native.refusal];
  if (refusal) {
    // A directory that denies access says EPERM or EACCES; that distinction is the system's to make.
    const code = refusal.code === 'EACCES' && systemCode === 'EPERM' ? 'EPERM' : refusal.code;
    // Of ECORRUPT no system knows a number.
    const number = code === 'ECORRUPT' ? {} : { errno };
    const fields = { ...number, ...system, syscall, path, refused: true };
    return new HoldfastError(code, `${refusal.reason(owner)}, ${call}`, fields);
  }
  const description = text ?? native.description.toLowerCase();
  const error = new Error(`${systemCode}: ${description}, ${call}`);
  return Object.assign(error, { errno, code: systemCode, syscall, path, ...system });
}
