import { createHash } from 'node:crypto';
import { basename, dirname, isAbsolute, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RequestFlag } from './native.js';
import type { LockHolder } from './record.js';
import { sanitizeSessionId } from './sanitize.js';

/** What every form of taking a lock accepts. */
export interface TryLockOptions {
  /**
   * Take the lock together with other shared holders, and apart from exclusive ones.
   * @default false
   */
  shared?: boolean | undefined;
  /** An id of the caller's session, kept (sanitized, at most 128 characters) in the lock file for others to read. */
  session?: string | undefined;
  /**
   * The lock file, where it is not to be `.{name}.lock` beside the target. It must not hold data: one that does is
   * refused with ECORRUPT.
   */
  lockPath?: string | URL | undefined;
  /**
   * Exact permission bits of a lock file that is created, whatever the umask. Owner read and write are required.
   * @default 0o600
   */
  lockFileMode?: number | undefined;
  /**
   * In a directory that others can write: `'trusted'` refuses (EPERM) a lock file that belongs to neither us, the
   * superuser nor the directory's owner; `'any'` accepts it.
   * @default 'trusted'
   */
  owners?: 'trusted' | 'any' | undefined;
  /**
   * A target that is a symbolic link: `'refuse'` fails with ELOOP, `'follow'` locks what it leads to. A link in the
   * place of the lock file is refused in any case.
   * @default 'refuse'
   */
  links?: 'refuse' | 'follow' | undefined;
  /**
   * Links among the directories on the way: `'trust'` follows them, `'refuse-links'` fails with ELOOP.
   * @default 'trust'
   */
  parents?: 'trust' | 'refuse-links' | undefined;
}

/** What the waiting, blocking forms accept besides. */
export interface LockSyncOptions extends TryLockOptions {
  /**
   * Milliseconds after which the wait ends with ETIMEDOUT. 0 is one try, Infinity no limit.
   * @default Infinity
   */
  timeout?: number | undefined;
  /** Called when the caller has to wait, and then about once a second. */
  onWait?: ((wait: WaitInfo) => void) | undefined;
}

/** What the waiting, asynchronous forms accept besides. */
export interface LockOptions extends LockSyncOptions {
  /** Ends the wait: it rejects with `signal.reason`, and the lock is not taken later. A held lock is not affected. */
  signal?: AbortSignal | undefined;
}

export interface WithLockOptions extends LockOptions {
  /**
   * A `withLock` inside a `withLock` on the same target in one asynchronous flow would wait for itself: `'error'`
   * rejects with EDEADLK, `'wait'` waits (for work that was started inside but is not awaited there).
   * @default 'error'
   */
  nested?: 'error' | 'wait' | undefined;
}

export interface InspectOptions {
  /** As for taking the lock. */
  lockPath?: string | URL | undefined;
  links?: 'refuse' | 'follow' | undefined;
  parents?: 'trust' | 'refuse-links' | undefined;
  owners?: 'trusted' | 'any' | undefined;
}

/** What `onWait` is told. */
export interface WaitInfo {
  target: string;
  lockPath: string;
  /** Milliseconds so far. */
  waitedMs: number;
  /** Who holds the lock, as far as the lock file tells; a shared holder leaves no name. */
  holder: LockHolder | null;
  /** The same in words. */
  message: string;
}

/** A checked request, as the addon takes it. */
export interface LockRequest {
  target: string;
  /** Undefined: beside the target. */
  lockPath: string | undefined;
  flags: number;
  fileMode: number;
  sessionId: string | undefined;
  sessionHash: string | undefined;
  timeout: number;
  signal: AbortSignal | undefined;
  onWait: ((wait: WaitInfo) => void) | undefined;
  nested: 'error' | 'wait';
}

type Form =
  'lock' | 'tryLock' | 'lockSync' | 'tryLockSync' | 'withLock' | 'withLockSync' | 'inspectLock';

const placeOptions = ['lockPath', 'links', 'parents', 'owners'];
const tryOptions = [...placeOptions, 'shared', 'session', 'lockFileMode'];
const waitOptions = [...tryOptions, 'timeout', 'onWait'];
const allowedOptions: Record<Form, ReadonlySet<string>> = {
  inspectLock: new Set(placeOptions),
  tryLock: new Set(tryOptions),
  tryLockSync: new Set(tryOptions),
  lockSync: new Set(waitOptions),
  withLockSync: new Set(waitOptions),
  lock: new Set([...waitOptions, 'signal']),
  withLock: new Set([...waitOptions, 'signal', 'nested']),
};

const longestName = 255;
const longestSessionId = 128;
const ownerReadWrite = 0o600;
const allPermissions = 0o777;

/** Checks the arguments of `form`; throws a TypeError or RangeError that names what is wrong. */
export function toRequest(form: Form, target: unknown, options: unknown): LockRequest {
  const path = toPath('target', target);
  const given = checkNames(form, options);
  const request: LockRequest = {
    target: path,
    lockPath: undefined,
    flags: 0,
    fileMode: ownerReadWrite,
    sessionId: undefined,
    sessionHash: undefined,
    timeout: Infinity,
    signal: undefined,
    onWait: undefined,
    nested: 'error',
  };
  if (given !== undefined) applyOptions(request, given);
  request.lockPath ??= lockPathForLongName(path);
  return request;
}

/** Where the lock file of `request` is, unless links are followed. */
export function lockPathOf(request: LockRequest): string {
  return request.lockPath ?? beside(request.target, `.${basename(request.target)}.lock`);
}

function checkNames(form: Form, options: unknown): Record<string, unknown> | undefined {
  if (options === undefined) return undefined;
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object, got ${show(options)}`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (allowedOptions[form].has(name) || value === undefined) continue;
    throw new TypeError(
      allowedOptions.withLock.has(name)
        ? `option '${name}' does not apply to ${form}`
        : `unknown option '${name}'; ${form} knows ${[...allowedOptions[form]].join(', ')}`,
    );
  }
  return options as Record<string, unknown>;
}

function applyOptions(request: LockRequest, options: Record<string, unknown>): void {
  const { shared, session, lockPath, lockFileMode, timeout, signal, onWait } = options;
  if (shared !== undefined && typeof shared !== 'boolean') {
    throw new TypeError(`option 'shared' must be a boolean, got ${show(shared)}`);
  }
  if (shared === true) request.flags |= RequestFlag.shared;
  if (oneOf(options, 'links', ['refuse', 'follow']) === 'follow') {
    request.flags |= RequestFlag.followLinks;
  }
  if (oneOf(options, 'parents', ['trust', 'refuse-links']) === 'refuse-links') {
    request.flags |= RequestFlag.refuseParentLinks;
  }
  if (oneOf(options, 'owners', ['trusted', 'any']) === 'any') {
    request.flags |= RequestFlag.anyOwner;
  }
  request.nested = oneOf(options, 'nested', ['error', 'wait']) ?? 'error';
  if (lockPath !== undefined) request.lockPath = toPath("option 'lockPath'", lockPath);
  if (lockFileMode !== undefined) request.fileMode = toFileMode(lockFileMode);
  if (session !== undefined) applySession(request, session);
  if (timeout !== undefined) request.timeout = toTimeout(timeout);
  if (signal !== undefined) {
    if (!(signal instanceof AbortSignal)) {
      throw new TypeError(`option 'signal' must be an AbortSignal, got ${show(signal)}`);
    }
    request.signal = signal;
  }
  if (onWait !== undefined) {
    if (typeof onWait !== 'function') {
      throw new TypeError(`option 'onWait' must be a function, got ${show(onWait)}`);
    }
    request.onWait = onWait as (wait: WaitInfo) => void;
  }
}

function oneOf<Choice extends string>(
  options: Record<string, unknown>,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  const list = choices.map((candidate) => `'${candidate}'`).join(' or ');
  throw new TypeError(`option '${name}' must be ${list}, got ${show(value)}`);
}

function toTimeout(timeout: unknown): number {
  if (typeof timeout !== 'number') {
    throw new TypeError(`option 'timeout' must be a number of milliseconds, got ${show(timeout)}`);
  }
  if (Number.isNaN(timeout) || timeout < 0) {
    throw new RangeError(`option 'timeout' must be 0 or more milliseconds, got ${show(timeout)}`);
  }
  return timeout;
}

function toFileMode(mode: unknown): number {
  if (typeof mode !== 'number' || !Number.isInteger(mode)) {
    throw new TypeError(`option 'lockFileMode' must be an integer, got ${show(mode)}`);
  }
  if (mode < 0 || mode > allPermissions || (mode & ownerReadWrite) !== ownerReadWrite) {
    throw new RangeError(
      `option 'lockFileMode' must be permission bits with owner read and write ` +
        `(0o600 to 0o777), got 0o${mode.toString(8)}`,
    );
  }
  return mode;
}

function applySession(request: LockRequest, session: unknown): void {
  if (typeof session !== 'string') {
    throw new TypeError(`option 'session' must be a string, got ${show(session)}`);
  }
  if (session === '') return;
  request.sessionId = sanitizeSessionId(session).slice(0, longestSessionId);
  request.sessionHash = createHash('sha256').update(session).digest('hex');
}

function toPath(name: string, value: unknown): string {
  const path = value instanceof URL ? fileURLToPath(value) : value;
  if (typeof path !== 'string') {
    throw new TypeError(`${name} must be a path (string or file URL), got ${show(value)}`);
  }
  if (path === '') throw new TypeError(`${name} must not be empty, got ''`);
  if (path.includes('\0')) {
    throw new TypeError(`${name} must not contain a NUL character, got ${show(path)}`);
  }
  const absolute = toAbsolute(path);
  if (basename(absolute) === '') {
    throw new TypeError(`${name} must name a file or directory in a directory, got ${show(path)}`);
  }
  return absolute;
}

const parentComponent = /(?:^|[\\/])\.\.(?:[\\/]|$)/;

/**
 * Makes a path absolute without changing where it leads. "a/link/../b" is not "a/b" when `link` is one, so such a path
 * keeps its "..", and the kernel resolves it.
 */
function toAbsolute(path: string): string {
  if (!parentComponent.test(path)) return resolve(path);
  const absolute = isAbsolute(path) ? path : `${process.cwd()}${sep}${path}`;
  const trimmed = absolute.replace(/[\\/]+$/, '');
  if (basename(trimmed) !== '..') return trimmed;
  // A name is needed, and only the resolved path has one.
  return resolve(trimmed);
}

/** A name that leaves no room for the affixes of its lock file, and of that one's guard, is represented by its hash. */
function lockPathForLongName(target: string): string | undefined {
  const name = basename(target);
  if (name.length * 3 + '..lock.guard'.length <= longestName) return undefined;
  if (Buffer.byteLength(`.${name}.lock.guard`) <= longestName) return undefined;
  return beside(target, `.${createHash('sha256').update(name).digest('hex')}.lock`);
}

/** Not `path.join`, which would resolve a ".." that the kernel has to. */
function beside(target: string, name: string): string {
  const directory = dirname(target);
  return directory.endsWith(sep) ? directory + name : directory + sep + name;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === null || typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'an array' : `an instance of ${value.constructor.name}`;
}
