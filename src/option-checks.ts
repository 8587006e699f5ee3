/** Checks that options of every verb share; each throws a TypeError or RangeError that names option, rule and value. */
import { show } from './show.js';

const allPermissions = 0o777;

/** Options whose names were checked: a copy without a prototype, which later changes do not reach. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** What {@link checkNames} returns for a caller that gave no options. */
export const noOptions: GivenOptions = Object.freeze(Object.create(null) as GivenOptions);

/**
 * Copies the options of a call, and refuses names that `form` does not know; those in `elsewhere` are known to its kin.
 *
 * Own properties count, and those of prototypes as well (a class, `Object.create(defaults)`), except the last prototype of
 * the chain: what is put on `Object.prototype` is nobody's option. Each property is read once.
 */
export function checkNames(
  form: string,
  options: unknown,
  allowed: ReadonlySet<string>,
  elsewhere: ReadonlySet<string> = allowed,
): GivenOptions {
  if (options === undefined) return noOptions;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`options must be an object, got ${show(options)}`);
  }
  const given = Object.create(null) as Record<string, unknown>;
  for (let owner: object = options; ;) {
    const next = Object.getPrototypeOf(owner) as object | null;
    const own = owner === options;
    // The methods of a class are no options, and its getters may be some.
    const names = own ? Object.keys(owner) : next === null ? [] : Object.getOwnPropertyNames(owner);
    for (const name of names) {
      if (name in given) continue;
      if (!own && !allowed.has(name) && !Object.prototype.propertyIsEnumerable.call(owner, name))
        continue;
      const value = (options as Record<string, unknown>)[name];
      if (value === undefined) continue;
      if (!allowed.has(name)) throw unknownOption(form, name, allowed, elsewhere);
      given[name] = value;
    }
    if (next === null) return given;
    owner = next;
  }
}

function unknownOption(
  form: string,
  name: string,
  allowed: ReadonlySet<string>,
  elsewhere: ReadonlySet<string>,
): TypeError {
  return new TypeError(
    elsewhere.has(name)
      ? `option '${name}' does not apply to ${form}`
      : `unknown option '${name.slice(0, 64)}'; ${form} knows ${[...allowed].join(', ')}`,
  );
}

/** Throws a TypeError for a call with more arguments than `form` has: what is misplaced must not be dropped silently. */
export function checkArgumentCount(form: string, count: number, most: number): void {
  if (count <= most) return;
  const limit = most === 0 ? 'no arguments' : most === 1 ? 'one argument' : `${most} arguments`;
  throw new TypeError(`${form} takes at most ${limit}, got ${count}`);
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
  if (typeof signal === 'object' && signal !== null && isSignal(signal)) return signal;
  throw new TypeError(`option 'signal' must be an AbortSignal, got ${show(signal)}`);
}

function isSignal(signal: Partial<AbortSignal>): signal is AbortSignal {
  return (
    typeof signal.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function' &&
    typeof signal.removeEventListener === 'function' &&
    typeof signal.throwIfAborted === 'function'
  );
}
