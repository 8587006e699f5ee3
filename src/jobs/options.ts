import type { HoldfastError } from '../errors.js';
import { isThenable } from '../lock.js';
import { checkNames, oneOf, toMode, toSignal, toTimeout } from '../option-checks.js';
import { toPath } from '../path.js';
import { show } from '../show.js';
import { toRequest, type LockOptions } from '../options.js';
import { durabilities, type ReplaceOptions } from '../replace-options.js';
import type { JobFields, StoredJob } from './state.js';

export interface JobStoreOptions {
  /** Milliseconds that a change waits for its lock; then ETIMEDOUT. @default 30000 */
  timeout?: number | undefined;
  /**
   * What is on the disk when a change has returned; as for `replaceFile`. With `'ordered'`, after a loss of power a job is as
   * it was before or after a change, and all of the lines that it counts are there. With `'none'` nothing is promised.
   * @default 'ordered'
   */
  durability?: 'none' | 'ordered' | 'full' | undefined;
  /**
   * Exact permission bits of the files that the store makes, whatever the umask; owner read and write are required.
   * Directories that it makes can be searched by whoever may read.
   * @default 0o600
   */
  mode?: number | undefined;
  /** As for `lock`. */
  session?: string | undefined;
  /** As for `lock`. */
  onWait?: LockOptions['onWait'];
  /**
   * Whose lock files, states and logs are used in a directory that others can write, for reading as for writing; as for
   * `lock`. @default 'trusted'
   */
  owners?: 'trusted' | 'any' | undefined;
  /** Links among the directories on the way. @default 'trust' */
  parents?: 'trust' | 'refuse-links' | undefined;
  /**
   * Called with the fields of a job that is about to be written, and of each that was read. If it throws, a change is
   * dropped with its error, and a job that was read is ECORRUPT. What it returns is ignored, but for a promise: a TypeError,
   * as nothing would wait for it.
   */
  validate?: ((fields: unknown) => unknown) | undefined;
}

export interface JobChangeOptions {
  /** Ends the wait, or takes the change out of the commit, until it was applied. */
  signal?: AbortSignal | undefined;
}

export interface JobUpdateOptions extends JobChangeOptions {
  /** Lines for the log, in the same commit. A function that changes nothing adds none. */
  log?: string | readonly string[] | undefined;
  /** Change the job only if this is its revision, else ECONFLICT; 0: only if there is no such job. */
  ifRevision?: number | undefined;
}

export interface JobReadOptions {
  /**
   * Which lines of the log: all, none, those after the first so many, or the last so many. The last lines of a long log
   * are cheap.
   * @default true
   */
  logs?: boolean | { after: number } | { last: number } | undefined;
}

export interface JobListOptions {
  /** Is told of each file that is damaged or foreign, which is then passed over. Without it the call rejects. */
  onCorrupt?: ((error: HoldfastError) => void) | undefined;
}

export interface JobPruneOptions<Job extends JobFields> extends JobListOptions {
  /** Milliseconds since a job last changed. */
  olderThan: number;
  /** Of those, only the jobs for which it returns true. Anything but true or false is a TypeError. @default all */
  filter?: ((job: StoredJob<Job>) => boolean) | undefined;
}

/** The checked options of a store, for each of its steps. */
export interface JobStoreSettings {
  directory: string;
  lock: LockOptions;
  timeout: number;
  /** For files; directories have `directoryMode`. */
  replace: ReplaceOptions;
  directoryMode: number;
  read: { parents: 'trust' | 'refuse-links'; owners: LockOptions['owners'] };
  refuseParentLinks: boolean;
  anyOwner: boolean;
  durabilityIndex: number;
  validate: ((fields: unknown) => unknown) | undefined;
}

const defaultTimeout = 30_000;
const ownerReadWrite = 0o600;
const storeNames = new Set([
  ...['timeout', 'durability', 'mode', 'session', 'onWait', 'owners', 'parents', 'validate'],
]);

export function toSettings(directory: unknown, options: unknown): JobStoreSettings {
  const given = checkNames('JobStore', options, storeNames);
  const path = toPath('directory', directory);
  const mode =
    given.mode === undefined ? ownerReadWrite : toMode('mode', given.mode, ownerReadWrite);
  const durability = oneOf('durability', given.durability, durabilities) ?? 'ordered';
  const parents = oneOf('parents', given.parents, ['trust', 'refuse-links']) ?? 'trust';
  const timeout = given.timeout === undefined ? defaultTimeout : toTimeout(given.timeout);
  const { session, onWait, owners } = given as Pick<LockOptions, 'session' | 'onWait' | 'owners'>;
  const lock: LockOptions = { session, onWait, owners, parents, lockFileMode: mode, timeout };
  // Checked here, so that a mistake shows before anything is done.
  toRequest('lock', path, lock);
  const readers = mode & 0o444;
  return {
    directory: path,
    lock,
    timeout,
    replace: { mode, durability, parents, owners },
    directoryMode: mode | (readers >> 2),
    read: { parents, owners },
    refuseParentLinks: parents === 'refuse-links',
    anyOwner: owners === 'any',
    durabilityIndex: durabilities.indexOf(durability),
    validate: toFunction('validate', given.validate) as JobStoreSettings['validate'],
  };
}

const changeNames = new Set(['signal']);
const updateNames = new Set(['signal', 'log', 'ifRevision']);

export function toChangeSignal(form: string, options: unknown): AbortSignal | undefined {
  const { signal } = checkNames(form, options, changeNames, updateNames);
  return signal === undefined ? undefined : toSignal(signal);
}

export interface UpdateSettings {
  signal: AbortSignal | undefined;
  lines: readonly unknown[];
  ifRevision: number | undefined;
}

export function toUpdateSettings(options: unknown): UpdateSettings {
  const { signal, log, ifRevision } = checkNames('update', options, updateNames);
  const lines = log === undefined ? [] : Array.isArray(log) ? (log as unknown[]) : [log];
  return {
    signal: signal === undefined ? undefined : toSignal(signal),
    lines,
    ifRevision: ifRevision === undefined ? undefined : toCount("option 'ifRevision'", ifRevision),
  };
}

/** The number of the first line that is wanted, for a log of so many; null for none at all. */
export function toFirstLine(options: unknown): ((lines: number) => number) | null {
  const { logs = true } = checkNames('read', options, new Set(['logs']));
  if (typeof logs === 'boolean') return logs ? () => 0 : null;
  const given = checkNames("option 'logs'", logs, new Set(['after', 'last']));
  const { after, last } = given;
  if ((after === undefined) === (last === undefined)) {
    throw new TypeError(
      `option 'logs' must be a boolean, { after } or { last }, got ${show(logs)}`,
    );
  }
  if (after !== undefined) {
    const first = toCount("option 'logs.after'", after);
    return (lines) => Math.min(first, lines);
  }
  const count = toCount("option 'logs.last'", last);
  return (lines) => Math.max(0, lines - count);
}

export function toListOptions(form: string, options: unknown): JobListOptions {
  const { onCorrupt } = checkNames(form, options, new Set(['onCorrupt']));
  return { onCorrupt: toFunction('onCorrupt', onCorrupt) as JobListOptions['onCorrupt'] };
}

export function toPruneOptions<Job extends JobFields>(
  options: unknown,
): JobPruneOptions<Job> & { filter: (job: StoredJob<Job>) => boolean } {
  const names = new Set(['olderThan', 'filter', 'onCorrupt']);
  const { olderThan, filter, onCorrupt } = checkNames('prune', options, names);
  return {
    olderThan: toTimeout(olderThan, 'olderThan'),
    filter: toFilter(filter),
    onCorrupt: toFunction('onCorrupt', onCorrupt) as JobPruneOptions<Job>['onCorrupt'],
  };
}

function toCount(name: string, value: unknown): number {
  if (typeof value !== 'number')
    throw new TypeError(`${name} must be a number, got ${show(value)}`);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${name} must be a whole number of 0 or more, got ${show(value)}`);
}

/** A filter whose answer can be believed: a promise is truthy, and would have everything removed. */
function toFilter<Job extends JobFields>(value: unknown): (job: StoredJob<Job>) => boolean {
  if (value === undefined) return () => true;
  const filter = toFunction('filter', value) as (job: StoredJob<Job>) => unknown;
  return (job) => {
    const answer = filter(job);
    if (typeof answer === 'boolean') return answer;
    // Nothing else handles its rejection.
    if (isThenable(answer)) answer.then(undefined, () => undefined);
    throw new TypeError(`option 'filter' must return true or false, got ${show(answer)}`);
  };
}

function toFunction(name: string, value: unknown): unknown {
  if (value === undefined || typeof value === 'function') return value;
  throw new TypeError(`option '${name}' must be a function, got ${show(value)}`);
}
