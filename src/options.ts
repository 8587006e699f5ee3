import { basename } from 'node:path';
import { beside, followLinks, followLinksSync } from './links.js';
import { RequestFlag, type ClaimantArguments, type native } from './native.js';
import type { LockHolder } from './record.js';
import {
  checkNames,
  flag,
  noOptions,
  oneOf,
  toMode,
  toSignal,
  toTimeout,
  type GivenOptions,
} from './option-checks.js';
import { refuseReserved, toPath, toTarget } from './path.js';
import { sessionIdentity } from './sanitize.js';
import { sha256Hex } from './sha256.js';
import { show } from './show.js';

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
  /**
   * The target must be beneath this directory, links on the way included (EXDEV). Nothing outside is opened or created, but a
   * `lockPath` elsewhere.
   */
  within?: string | URL | undefined;
  /**
   * Go on without the lock when it is not granted in time, when its file cannot be made or read (a full or broken disk, no
   * descriptors left), and where the file system has no locks. The lock that is then returned has `failedOpen: true` and
   * excludes nobody, and the event `lock_fail_open` is published first. A refusal, an abort and a wrong argument are
   * errors all the same, and `tryLock` says null of a lock that somebody holds.
   * @default false
   */
  failOpen?: boolean | undefined;
}

/** What the asynchronous forms accept besides. */
export interface TtlOption {
  /**
   * Milliseconds without a sign of life after which others may take the lock over: its holder then counts as hung. As long
   * as the event loop of the holder turns, it shows signs of life by itself, so that only a blocked or stopped one is
   * ever robbed; it finds out by `lost`, `signal`, `verify()` and at every commit under the lock. At least 100; a few
   * seconds or more where machines are busy. Exclusive locks only.
   * @default none: the lock is never taken over
   */
  ttl?: number | undefined;
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
export interface LockOptions extends LockSyncOptions, TtlOption {
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
  within?: string | URL | undefined;
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
  /** What is locked: the target, or what it leads to. */
  destination: string;
  /** Undefined: beside the destination. */
  lockPath: string | undefined;
  /** The directory that the destination must be beneath. */
  within: string | undefined;
  flags: number;
  /** Whether the target is still to be followed, if it is a link. */
  follow: boolean;
  fileMode: number;
  sessionId: string | undefined;
  sessionHash: string | undefined;
  /** 0: none. */
  ttl: number;
  timeout: number;
  signal: AbortSignal | undefined;
  onWait: ((wait: WaitInfo) => void) | undefined;
  nested: 'error' | 'wait';
  failOpen: boolean;
}

type Form =
  'lock' | 'tryLock' | 'lockSync' | 'tryLockSync' | 'withLock' | 'withLockSync' | 'inspectLock';

const placeOptions = ['lockPath', 'links', 'parents', 'owners', 'within'];
const tryOptions = [...placeOptions, 'shared', 'session', 'lockFileMode', 'failOpen'];
const waitOptions = [...tryOptions, 'timeout', 'onWait', 'ttl'];
const allowedOptions: Record<Form, ReadonlySet<string>> = {
  inspectLock: new Set(placeOptions),
  tryLock: new Set([...tryOptions, 'ttl']),
  tryLockSync: new Set([...tryOptions, 'ttl']),
  lockSync: new Set(waitOptions),
  withLockSync: new Set(waitOptions),
  lock: new Set([...waitOptions, 'signal']),
  withLock: new Set([...waitOptions, 'signal', 'nested']),
};

/** Every option of taking a lock. */
export const lockOptionNames: ReadonlySet<string> = allowedOptions.withLock;

const longestName = 255;
/** In bytes of UTF-8, for each unit of UTF-16. */
const longestCharacter = 3;
const affixes = '..lock.guard'.length;
const ownerReadWrite = 0o600;

/**
 * Checks the arguments of `form`; throws a TypeError or RangeError that names what is wrong. The drop-in's directories may have
 * names that are reserved elsewhere: it passes `toPath`.
 */
export function toRequest(
  form: Form,
  target: unknown,
  options: unknown,
  toTargetPath = toTarget,
): LockRequest {
  const path = toTargetPath('target', target);
  const given = checkNames(form, options, allowedOptions[form], allowedOptions.withLock);
  const request: LockRequest = {
    target: path,
    destination: path,
    lockPath: undefined,
    within: undefined,
    flags: 0,
    follow: false,
    fileMode: ownerReadWrite,
    sessionId: undefined,
    sessionHash: undefined,
    ttl: 0,
    timeout: Infinity,
    signal: undefined,
    onWait: undefined,
    nested: 'error',
    failOpen: false,
  };
  if (given !== noOptions) {
    applyOptions(request, given);
    if (given.ttl !== undefined) request.ttl = toTtl(form, given);
  }
  if (!request.follow) request.lockPath ??= lockPathForLongName(path);
  return request;
}

/** The request for what the target leads to. */
export async function withLinksFollowed(request: LockRequest): Promise<LockRequest> {
  return request.follow
    ? followedTo(request, await followLinks(request.target, refusesParentLinks(request)))
    : request;
}

/** As {@link withLinksFollowed}, on this thread. */
export function withLinksFollowedSync(request: LockRequest): LockRequest {
  return request.follow
    ? followedTo(request, followLinksSync(request.target, refusesParentLinks(request)))
    : request;
}

function refusesParentLinks(request: LockRequest): boolean {
  return (request.flags & RequestFlag.refuseParentLinks) !== 0;
}

function followedTo(request: LockRequest, destination: string): LockRequest {
  return {
    ...request,
    follow: false,
    destination,
    lockPath: request.lockPath ?? lockPathForLongName(destination),
  };
}

/** A request as the addon's acquire() takes it. */
export function acquireArguments(
  request: LockRequest,
  flags: number,
): Parameters<typeof native.acquire> {
  const { destination, lockPath, fileMode } = request;
  if (request.within !== undefined) {
    const { sessionId, sessionHash, ttl, within } = request;
    return [
      destination,
      lockPath,
      request.flags | flags,
      fileMode,
      sessionId,
      sessionHash,
      ttl,
      within,
    ];
  }
  return [destination, lockPath, request.flags | flags, fileMode, ...claimantOf(request)];
}

/** Most holders say nothing of themselves, and each argument takes its time. */
export function claimantOf({ sessionId, sessionHash, ttl }: LockRequest): ClaimantArguments {
  return sessionId === undefined && ttl === 0 ? noClaim : [sessionId, sessionHash, ttl];
}

const noClaim: ClaimantArguments = [];

/** Where the lock file of `request` is, once links are followed. */
export function lockPathOf(request: Pick<LockRequest, 'lockPath' | 'destination'>): string {
  const { lockPath, destination } = request;
  return lockPath ?? beside(destination, `.${basename(destination)}.lock`);
}

/** The key of a queue whose lock file cannot be asked for its identity on this thread. */
export const remoteKeyOf = (lockPath: string): string => `path:${lockPath}`;

function applyOptions(request: LockRequest, options: GivenOptions): void {
  const { shared, session, lockPath, lockFileMode, timeout, signal, onWait } = options;
  if (flag('shared', shared) === true) request.flags |= RequestFlag.shared;
  request.follow = oneOf('links', options.links, ['refuse', 'follow']) === 'follow';
  if (oneOf('parents', options.parents, ['trust', 'refuse-links']) === 'refuse-links') {
    request.flags |= RequestFlag.refuseParentLinks;
  }
  if (oneOf('owners', options.owners, ['trusted', 'any']) === 'any') {
    request.flags |= RequestFlag.anyOwner;
  }
  request.failOpen = flag('failOpen', options.failOpen) ?? false;
  request.nested = oneOf('nested', options.nested, ['error', 'wait']) ?? 'error';
  if (options.within !== undefined) request.within = toPath("option 'within'", options.within);
  if (lockPath !== undefined) request.lockPath = toLockPath(lockPath);
  if (lockFileMode !== undefined) {
    request.fileMode = toMode('lockFileMode', lockFileMode, ownerReadWrite);
  }
  if (session !== undefined) applySession(request, session);
  if (timeout !== undefined) request.timeout = toTimeout(timeout);
  if (signal !== undefined) request.signal = toSignal(signal);
  if (onWait !== undefined) {
    if (typeof onWait !== 'function') {
      throw new TypeError(`option 'onWait' must be a function, got ${show(onWait)}`);
    }
    request.onWait = onWait as (wait: WaitInfo) => void;
  }
}

/** A lock file may have the name of one, and no other of holdfast's names. */
function toLockPath(value: unknown): string {
  const path = toPath("option 'lockPath'", value);
  if (!/\.lock$/i.test(path)) refuseReserved(path);
  return path;
}

const shortestTtl = 100;
/** What a record has room for, and a timer. */
const longestTtl = 2 ** 31 - 1;

function toTtl(form: Form, { ttl, shared }: GivenOptions): number {
  if (typeof ttl !== 'number') {
    throw new TypeError(`option 'ttl' must be a number, got ${show(ttl)}`);
  }
  if (!Number.isInteger(ttl) || ttl < shortestTtl || ttl > longestTtl) {
    throw new RangeError(
      `option 'ttl' must be whole milliseconds from ${shortestTtl} to ${longestTtl}, got ${ttl}`,
    );
  }
  if (form.endsWith('Sync')) {
    throw new RangeError(
      `option 'ttl' does not apply to ${form}: a blocked thread shows no sign of life, got ${ttl}`,
    );
  }
  if (shared === true) {
    throw new RangeError(
      `option 'ttl' is for exclusive locks, got a ttl of ${ttl} with shared: true`,
    );
  }
  return ttl;
}

function applySession(request: LockRequest, session: unknown): void {
  if (typeof session !== 'string') {
    throw new TypeError(`option 'session' must be a string, got ${show(session)}`);
  }
  const identity = sessionIdentity(session);
  request.sessionId = identity?.id;
  request.sessionHash = identity?.hash;
}

/**
 * A name that leaves no room for the affixes of its lock file, and of that one's guard, is represented by its hash. NTFS
 * counts units of UTF-16, of which a name never has more than bytes: one rule serves all, and who shares a directory with
 * another system finds the same lock file.
 */
function lockPathForLongName(target: string): string | undefined {
  // A short path has no long name in it.
  if (target.length * longestCharacter + affixes <= longestName) return undefined;
  const name = basename(target);
  if (name.length * longestCharacter + affixes <= longestName) return undefined;
  if (Buffer.byteLength(`.${name}.lock.guard`) <= longestName) return undefined;
  return beside(target, `.${sha256Hex(name)}.lock`);
}
