import { FileLock } from './file-lock.js';
import {
  copyFallbackShift,
  durabilityShift,
  ReplaceFlag,
  type NativeReadOptions,
  type NativeReplaceOptions,
} from './native.js';
import {
  checkNames,
  flag,
  oneOf,
  toMode,
  toSignal,
  toTimeout,
  type GivenOptions,
} from './option-checks.js';
import { toPath, toTarget } from './path.js';
import { show } from './show.js';

/** A file's identity, as `ReplaceResult` and `readRegularFile` tell it: compare it, and look at it no further. */
export type FileIdentity = string;

/** What the file must be for a compare-and-swap: a known file, known contents, or, as null, absent. */
export type ExpectedFile = { identity: FileIdentity } | { sha256: string } | null;

export interface ReplaceSyncOptions {
  /**
   * Exact permission bits, whatever the umask. Set-id bits are kept only if they are given here.
   * @default the existing file's; for a new one 0o666 less the umask
   */
  mode?: number | undefined;
  /** Make missing parent directories, with `dirMode`. An existing one is left alone. @default false */
  recursive?: boolean | undefined;
  /** Exact permission bits of directories that are made, whatever the umask. @default 0o777 less the umask */
  dirMode?: number | undefined;
  /** Refuse (EPERM) unless the parent directory has exactly these permission bits. */
  requireDirMode?: number | undefined;
  /** Give the parent directory these permission bits, if it is ours. */
  tightenDir?: number | undefined;
  /**
   * What is on the disk when the call returns. `'none'`: nothing is promised. `'ordered'`: after a loss of power the
   * file is old or new, never torn. `'full'`: the new contents, and their name, are on the disk.
   * @default 'ordered'
   */
  durability?: 'none' | 'ordered' | 'full' | undefined;
  /**
   * What the new file takes over from the old one, or the call fails. Without `mode`, the mode is always among it, unless
   * the list is empty. The mode is kept with the owner and the group that it is about, as far as the caller may give these;
   * bits about a group that cannot be kept are taken away, and so is its list. `kept` in the result reports what was kept.
   * @default ['mode']
   */
  keep?: readonly ('mode' | 'owner' | 'xattr' | 'acl')[] | undefined;
  /** A target that is a symbolic link: refuse it (ELOOP), replace what it leads to, or replace the link itself. */
  links?: 'refuse' | 'follow' | 'replace' | undefined;
  /** A target with other names: refuse it (EMLINK), or leave the old contents to the other names. */
  hardLinks?: 'refuse' | 'split' | undefined;
  /** Links among the directories on the way. @default 'trust' */
  parents?: 'trust' | 'refuse-links' | undefined;
  /**
   * Whose files are replaced in a directory that a user other than the caller and root owns or can write: `'trusted'` is the
   * caller's, root's and the directory owner's, others are refused (EPERM). `'any'` replaces those too, but keeps no mode,
   * owner or list of theirs, and writes nothing into them. Elsewhere every file is trusted.
   * @default 'trusted'
   */
  owners?: 'trusted' | 'any' | undefined;
  /** The target must be beneath this directory, links on the way included (EXDEV). */
  within?: string | URL | undefined;
  /**
   * Replace only if the file is the expected one, else ECONFLICT. Compared just before publishing, with nobody in between
   * who compares as well: `ifMatch` and updates. The lock on the path is `lock` if that is given, else taken and waited for.
   */
  ifMatch?: ExpectedFile | undefined;
  /** Milliseconds that `ifMatch` waits for the lock, before ETIMEDOUT. @default 30000 */
  timeout?: number | undefined;
  /** Fail with EEXIST when the file exists. @default false */
  createOnly?: boolean | undefined;
  /**
   * Where nothing can be renamed over the target (a mounted file, a directory that may not be written): write into the
   * file itself, with an undo file that keeps the old contents until the copy is complete.
   * @default 'auto'
   */
  copyFallback?: 'auto' | 'never' | 'always' | undefined;
  /**
   * Where the undo file of a copy goes when the target's directory may not be written. Readers have to name it, too, and to
   * see the target under the same path.
   */
  journalDir?: string | URL | undefined;
  /**
   * Milliseconds for which a replace is tried again while, on Windows, somebody has the file open in a way that excludes
   * it; then comes `copyFallback`. On POSIX systems an open file is in nobody's way. Everywhere, while a copy into the file is
   * under way. With `ifMatch`, and in updates, also
   * while somebody else publishes at the same moment; an update is made again for so long while others change the file.
   * @default 10000, in the synchronous form 2000
   */
  retry?: number | undefined;
  /** Fail with ECOMPROMISED when this lock is not held any more just before the replace. */
  lock?: FileLock | undefined;
}

export interface ReplaceOptions extends ReplaceSyncOptions {
  /** Ends the replace, up to the moment of publishing; rejects with `signal.reason` and leaves nothing behind. */
  signal?: AbortSignal | undefined;
}

export interface ReadOptions {
  /** Longer files are EFBIG. @default 64 MiB */
  maxBytes?: number | undefined;
  /** A link: refuse it (ELOOP), or read what it leads to. @default 'refuse' */
  links?: 'refuse' | 'follow' | undefined;
  /** The file must be beneath this directory, links on the way included (EXDEV). */
  within?: string | URL | undefined;
  parents?: 'trust' | 'refuse-links' | undefined;
  /** Whose files are read, as for the replace: a file that another user can have planted is refused (EPERM). @default 'trusted' */
  owners?: 'trusted' | 'any' | undefined;
  /** As for the replace. */
  journalDir?: string | URL | undefined;
}

export interface ReplaceRequest {
  path: string;
  /** Bits of `ReplaceFlag`, the durability, and when to copy. */
  flags: number;
  mode: number | undefined;
  /** What few ask for. */
  native: NativeReplaceOptions | undefined;
  /** Whether the path is still to be followed, if it is a link. */
  follow: boolean;
  refuseParentLinks: boolean;
  ifMatch: ExpectedFile | undefined;
  lock: FileLock | undefined;
  /** Milliseconds. */
  retry: number | undefined;
  /** Milliseconds that `ifMatch` waits for the lock. */
  timeout: number;
  signal: AbortSignal | undefined;
}

const linkPolicies = ['refuse', 'replace', 'follow'] as const;
const parentPolicies = ['trust', 'refuse-links'] as const;
const hardLinkPolicies = ['refuse', 'split'] as const;
export const durabilities = ['none', 'ordered', 'full'] as const;
const ownerPolicies = ['trusted', 'any'] as const;
const copyFallbacks = ['auto', 'never', 'always'] as const;
/** Whether a copy is what the caller asked for. */
export const alwaysCopies = ({ flags }: ReplaceRequest): boolean =>
  ((flags >> copyFallbackShift) & 3) === copyFallbacks.indexOf('always');
const keepable = ['mode', 'owner', 'xattr', 'acl'] as const;
const allPermissions = 0o7777;
/** Milliseconds that whatever takes a lock for one step waits for it, unless told otherwise. */
export const defaultTimeout = 30_000;

const syncNames = [
  ...['mode', 'recursive', 'dirMode', 'requireDirMode', 'tightenDir', 'durability', 'keep'],
  ...['links', 'hardLinks', 'parents', 'within', 'ifMatch', 'createOnly', 'copyFallback'],
  ...['journalDir', 'retry', 'lock', 'owners', 'timeout'],
];
export const replaceOptionNames: ReadonlySet<string> = new Set([...syncNames, 'signal']);
const syncOptionNames: ReadonlySet<string> = new Set(syncNames);
const readOptionNames = new Set(['maxBytes', 'links', 'parents', 'owners', 'journalDir', 'within']);

export function toReplaceRequest(form: string, path: unknown, options: unknown): ReplaceRequest {
  const target = toTarget('path', path);
  const allowed = form.endsWith('Sync') ? syncOptionNames : replaceOptionNames;
  const given = checkNames(form, options, allowed, replaceOptionNames);
  const keep = toKeep(given.keep);
  const links = oneOf('links', given.links, linkPolicies) ?? 'refuse';
  const flags =
    set(links === 'replace', ReplaceFlag.replaceLink) |
    set(
      oneOf('parents', given.parents, parentPolicies) === 'refuse-links',
      ReplaceFlag.refuseParentLinks,
    ) |
    set(
      oneOf('hardLinks', given.hardLinks, hardLinkPolicies) === 'split',
      ReplaceFlag.splitHardLinks,
    ) |
    set(flag('createOnly', given.createOnly), ReplaceFlag.createOnly) |
    set(oneOf('owners', given.owners, ownerPolicies) === 'any', ReplaceFlag.anyOwner) |
    // Keeping anything else and not the mode would make a secret readable; an empty list is what says so.
    set(given.mode === undefined && (keep === undefined || keep.size > 0), ReplaceFlag.keepMode) |
    set(keep?.has('owner'), ReplaceFlag.keepOwner) |
    set(keep?.has('xattr'), ReplaceFlag.keepXattr) |
    set(keep?.has('acl'), ReplaceFlag.keepAcl) |
    set(flag('recursive', given.recursive), ReplaceFlag.recursive) |
    (durabilities.indexOf(oneOf('durability', given.durability, durabilities) ?? 'ordered') <<
      durabilityShift) |
    (copyFallbacks.indexOf(oneOf('copyFallback', given.copyFallback, copyFallbacks) ?? 'auto') <<
      copyFallbackShift);
  return {
    path: target,
    flags,
    mode: given.mode === undefined ? undefined : toMode('mode', given.mode, 0, allPermissions),
    native: toNativeOptions(given),
    follow: links === 'follow',
    refuseParentLinks: (flags & ReplaceFlag.refuseParentLinks) !== 0,
    ifMatch: toExpectedFile(given.ifMatch),
    lock: toLock(given.lock),
    retry: given.retry === undefined ? undefined : toTimeout(given.retry, 'retry'),
    timeout: given.timeout === undefined ? defaultTimeout : toTimeout(given.timeout),
    signal: given.signal === undefined ? undefined : toSignal(given.signal),
  };
}

const set = (condition: boolean | undefined, bit: number): number => (condition === true ? bit : 0);

function toNativeOptions(given: GivenOptions): NativeReplaceOptions | undefined {
  const { dirMode, requireDirMode, tightenDir, within, journalDir } = given;
  const native: NativeReplaceOptions = {};
  if (dirMode !== undefined) native.dirMode = toMode('dirMode', dirMode);
  if (requireDirMode !== undefined)
    native.requireDirMode = toMode('requireDirMode', requireDirMode);
  if (tightenDir !== undefined) native.tightenDir = toMode('tightenDir', tightenDir);
  if (within !== undefined) native.within = toPath("option 'within'", within);
  if (journalDir !== undefined) native.journalDir = toPath("option 'journalDir'", journalDir);
  for (const _name in native) return native;
  return undefined;
}

export interface ReadRequest {
  native: NativeReadOptions;
  follow: boolean;
}

export function toReadRequest(form: string, path: unknown, options: unknown): ReadRequest {
  const given = checkNames(form, options, readOptionNames);
  const { maxBytes = 64 * 1024 * 1024 } = given;
  if (typeof maxBytes !== 'number' || !Number.isSafeInteger(maxBytes) || maxBytes < 0) {
    throw new RangeError(
      `option 'maxBytes' must be a whole number of 0 or more, got ${show(given.maxBytes)}`,
    );
  }
  const native: NativeReadOptions = {
    path: toTarget('path', path),
    refuseParentLinks:
      oneOf('parents', given.parents, ['trust', 'refuse-links']) === 'refuse-links',
    anyOwner: oneOf('owners', given.owners, ownerPolicies) === 'any',
    maxBytes,
  };
  if (given.within !== undefined) native.within = toPath("option 'within'", given.within);
  if (given.journalDir !== undefined) {
    native.journalDir = toPath("option 'journalDir'", given.journalDir);
  }
  return { native, follow: oneOf('links', given.links, ['refuse', 'follow']) === 'follow' };
}

function toKeep(keep: unknown): Set<string> | undefined {
  if (keep === undefined) return undefined;
  if (!Array.isArray(keep) || !keep.every((item) => keepable.includes(item as 'mode'))) {
    throw new TypeError(
      `option 'keep' must be an array of ${keepable.map((item) => `'${item}'`).join(', ')}`,
    );
  }
  return new Set(keep as string[]);
}

function toLock(lock: unknown): FileLock | undefined {
  if (lock === undefined || lock instanceof FileLock) return lock;
  throw new TypeError(`option 'lock' must be a FileLock, got ${show(lock)}`);
}

const hexSha256 = /^[0-9a-f]{64}$/i;

function toExpectedFile(expected: unknown): ExpectedFile | undefined {
  if (expected === undefined || expected === null) return expected;
  if (typeof expected === 'object') {
    const { identity, sha256 } = expected as { identity?: unknown; sha256?: unknown };
    if (typeof identity === 'string' && sha256 === undefined) return { identity };
    if (typeof sha256 === 'string' && hexSha256.test(sha256) && identity === undefined) {
      return { sha256: sha256.toLowerCase() };
    }
  }
  throw new TypeError(
    `option 'ifMatch' must be { identity }, { sha256 } in hexadecimal, or null, got ${show(expected)}`,
  );
}
