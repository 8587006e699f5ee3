/** Checks that options of every verb share; each throws a TypeError or RangeError that names option, rule and value. */
import { basename, isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveOnWindows } from './windows-path.js';

const allPermissions = 0o777;

/** Refuses names that `form` does not know; those in `elsewhere` are known to its kin. */
export function checkNames(
  form: string,
  options: unknown,
  allowed: ReadonlySet<string>,
  elsewhere: ReadonlySet<string> = allowed,
): Record<string, unknown> | undefined {
  if (options === undefined) return undefined;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`options must be an object, got ${show(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (allowed.has(name) || (options as Record<string, unknown>)[name] === undefined) continue;
    throw new TypeError(
      elsewhere.has(name)
        ? `option '${name}' does not apply to ${form}`
        : `unknown option '${name}'; ${form} knows ${[...allowed].join(', ')}`,
    );
  }
  return options as Record<string, unknown>;
}

export function oneOf<Choice extends string>(
  name: string,
  value: unknown,
  choices: readonly Choice[],
): Choice | undefined {
  if (value === undefined || choices.includes(value as Choice)) return value as Choice | undefined;
  const list = choices.map((candidate) => `'${candidate}'`).join(' or ');
  throw new TypeError(`option '${name}' must be ${list}, got ${show(value)}`);
}

export function flag(name: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw new TypeError(`option '${name}' must be a boolean, got ${show(value)}`);
}

export function toTimeout(timeout: unknown, name = 'timeout'): number {
  if (typeof timeout !== 'number') {
    throw new TypeError(`option '${name}' must be a number of milliseconds, got ${show(timeout)}`);
  }
  if (Number.isNaN(timeout) || timeout < 0) {
    throw new RangeError(`option '${name}' must be 0 or more milliseconds, got ${show(timeout)}`);
  }
  return timeout;
}

/** Permission bits, among which those of `required` must be. */
export function toMode(
  name: string,
  mode: unknown,
  required = 0,
  allowed = allPermissions,
): number {
  if (typeof mode !== 'number' || !Number.isInteger(mode)) {
    throw new TypeError(`option '${name}' must be an integer, got ${show(mode)}`);
  }
  if (mode < 0 || mode > allowed || (mode & required) !== required) {
    const rule = required === 0 ? '' : `with owner read and write `;
    throw new RangeError(
      `option '${name}' must be permission bits ${rule}` +
        `(0o${required.toString(8)} to 0o${allowed.toString(8)}), got 0o${mode.toString(8)}`,
    );
  }
  return mode;
}

export function toSignal(signal: unknown): AbortSignal {
  // One from another realm is no instance of this one's class.
  if (typeof signal === 'object' && signal !== null && 'aborted' in signal) {
    return signal as AbortSignal;
  }
  throw new TypeError(`option 'signal' must be an AbortSignal, got ${show(signal)}`);
}

export function toPath(name: string, value: unknown): string {
  const path = value instanceof URL ? fileURLToPath(value) : value;
  if (typeof path !== 'string') {
    throw new TypeError(`${name} must be a path (string or file URL), got ${show(value)}`);
  }
  if (plainPath?.test(path) && path.isWellFormed()) return path;
  if (path === '') throw new TypeError(`${name} must not be empty, got ''`);
  if (path.includes('\0')) {
    throw new TypeError(`${name} must not contain a NUL character, got ${show(path)}`);
  }
  // The addon takes UTF-8, which has no place for half a pair: another file would be meant.
  if (!path.isWellFormed()) {
    throw new TypeError(`${name} must not contain a lone surrogate, got ${show(path)}`);
  }
  if (process.platform === 'win32') {
    const resolved = resolveOnWindows(path);
    if ('path' in resolved) return resolved.path;
    throw new TypeError(`${name} ${resolved.problem}, got ${show(path)}`);
  }
  const absolute = toAbsolute(path);
  if (basename(absolute) === '') {
    throw new TypeError(`${name} must name a file or directory in a directory, got ${show(path)}`);
  }
  return absolute;
}

/**
 * Most paths come as they are to be, and a call that takes a lock has no time to take one apart and put it together again:
 * from the root on, names with one slash between them, none of which is "." or "..", and no NUL. Windows has more to check.
 */
const plainPath = process.platform === 'win32' ? undefined : /^(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+$/;
const parentComponent = /(?:^|\/)\.\.(?:\/|$)/;
const emptyEnd = /(?:\/+\.?)+$/;

/**
 * Makes a path of POSIX absolute without changing where it leads. "a/link/../b" is not "a/b" when `link` is one, so such a path
 * keeps its "..", and the kernel resolves it.
 */
function toAbsolute(path: string): string {
  if (!parentComponent.test(path)) return resolve(path);
  const absolute = isAbsolute(path) ? path : `${process.cwd()}/${path}`;
  const trimmed = absolute.replace(emptyEnd, '');
  if (basename(trimmed) !== '..') return trimmed;
  // A name is needed, and only the resolved path has one.
  return resolve(trimmed);
}

export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === null || typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return 'an array';
  const { constructor } = value as { constructor?: { name?: unknown } };
  return typeof constructor?.name === 'string' ? `an instance of ${constructor.name}` : 'an object';
}
