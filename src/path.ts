/** The one parse of a path: what a caller or a link gives becomes the path that every later step uses. */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from './errors.js';
import { show } from './show.js';
import { resolveOnWindows } from './windows-path.js';

export const onWindows = process.platform === 'win32';

/** In units of UTF-16: the longest path of any system that holdfast runs on (Windows, in its verbatim form). */
const longestPath = 32_767;

/**
 * Returns the absolute path that `value` (a string or a file URL) means, in one form for all spellings that need no look at
 * the disk. Throws a TypeError or RangeError that calls the argument `name`.
 */
export function toPath(name: string, value: unknown): string {
  const path = value instanceof URL ? fileURLToPath(value) : value;
  if (typeof path !== 'string') {
    throw new TypeError(`${name} must be a path (string or file URL), got ${show(value)}`);
  }
  if (path.length > longestPath) {
    throw new RangeError(
      `${name} must have at most ${longestPath} characters, got one of ${path.length}`,
    );
  }
  if (plainPath?.test(path) && path.isWellFormed()) return path;
  if (path === '') throw new TypeError(`${name} must not be empty, got ''`);
  const parsed = parsePath(path);
  if ('path' in parsed) return parsed.path;
  throw new TypeError(`${name} ${parsed.problem}, got ${show(path)}`);
}

/** Returns the path of a verb's target: {@link toPath}, without the names that holdfast gives to its own files. */
export function toTarget(name: string, value: unknown): string {
  const path = toPath(name, value);
  refuseReserved(path);
  return path;
}

/**
 * Returns the absolute form of `path`, which begins in `directory` if it is relative, or what is wrong with it in words that
 * follow the name of an argument.
 *
 * On POSIX systems "a/link/../b" is not "a/b" if `link` is a link, so a ".." stays for the kernel to resolve. Only where
 * the last name is "..", which no lock file could be named after, is it taken as text, unless that leads elsewhere.
 */
export function parsePath(
  path: string,
  directory: string = process.cwd(),
): { path: string } | { problem: string } {
  if (path === '') return { problem: 'must not be empty' };
  if (path.includes('\0')) return { problem: 'must not contain a NUL character' };
  // The addon takes UTF-8, which has no place for half a pair: another file would be meant.
  if (!path.isWellFormed()) return { problem: 'must not contain a lone surrogate' };
  if (onWindows) return resolveOnWindows(path, directory);
  const names: string[] = path.startsWith('/') ? [] : namesOf(directory);
  for (const name of namesOf(path)) names.push(name);
  if (names.at(-1) === '..') {
    const given = `/${names.join('/')}`;
    while (names.at(-1) === '..') resolveEnd(names);
    if (leadsElsewhere(given, `/${names.join('/')}`)) {
      return { problem: "must not end in '..' behind a link: give the path that this leads to" };
    }
  }
  if (names.length === 0) return { problem: 'must name a file or directory in a directory' };
  return { path: `/${names.join('/')}` };
}

/** Returns true if the kernel finds another place under `path` than under the path that its ".." resolve to as text. */
function leadsElsewhere(path: string, text: string): boolean {
  try {
    return realpathSync.native(path) !== realpathSync.native(text);
  } catch {
    // Nothing is there, or it may not be looked at: opening it will say so.
    return false;
  }
}

/** The components of a POSIX path that mean something; ".." directly below the root means nothing. */
function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (
      name === '' ||
      name === '.' ||
      (name === '..' && names.length === 0 && path.startsWith('/'))
    )
      continue;
    names.push(name);
  }
  return names;
}

/** Takes the names off that end in ".." and mean the same without it, as text. */
function resolveEnd(names: string[]): void {
  let parents = 0;
  while (names.at(-1) === '..' || (parents > 0 && names.length > 0)) {
    if (names.pop() === '..') parents++;
    else parents--;
  }
}

/**
 * Most paths come as they are to be, and a call that acquires a lock has no time to take one apart and put it together again:
 * from the root on, names with one slash between them, none of which is "." or "..", and no NUL. Windows has more to check.
 */
const plainPath = onWindows ? undefined : /^(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+$/;

/**
 * Throws EINVAL (refused) if the last name of `path` is one that holdfast gives to its own files: whoever chooses names
 * could otherwise have a lock file, an undo file or a temporary file written, read or removed as data.
 */
export function refuseReserved(path: string): void {
  const name = basename(path);
  // Nearly all names are settled by their first character, as no system takes another for a dot.
  if (!isReservedName(name)) return;
  throw new HoldfastError(
    'EINVAL',
    `'${path}' has a name that holdfast gives to its own files (.*.lock, .*.lock.guard, .holdfast-*): choose another name`,
    { path, refused: true },
  );
}

/** Characters that HFS+ leaves out when it compares names. */
const ignoredCharacters = /[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;
const ownNames = /^\.(?:holdfast-.*|.+\.lock(?:\.guard)?)$/s;
/** The short form that NTFS gives to a name beside the long one: "HOLDFA~1.TMP". */
const ownShortNames = /^(?:[^.]*~[0-9]+\.(?:loc|gua|tmp|und|old)|ho[^.]*~[0-9]+(?:\..*)?)$/s;

/** Returns true if a file system of any kind may take `name` for one of holdfast's own files. */
function isReservedName(name: string): boolean {
  const first = name.charCodeAt(0);
  if (first !== dot && first < 0x80 && !(onWindows && name.includes('~'))) return false;
  // Case and compatible characters (U+017F for "s", U+212A for "k") fold on some file system or other.
  const folded = name.replace(ignoredCharacters, '').normalize('NFKC').toLowerCase();
  return ownNames.test(folded) || (onWindows && ownShortNames.test(folded));
}

const dot = '.'.charCodeAt(0);
