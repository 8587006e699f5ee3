/** Locked read-modify-write: no update of a shared file is ever lost or torn. */
import { currentNesting } from './nesting.js';
import { GivenBytes, type Data } from './bytes.js';
import { HoldfastError, isConflict } from './errors.js';
import { verifyBeforeWrite } from './file-lock.js';
import { releaseSyncOrWarn } from './lock.js';
import { lockOptionNames, toRequest, type LockOptions, type TtlOption } from './options.js';
import { checkArgumentCount, checkNames, toSignal, oneOf } from './option-checks.js';
import { toTarget } from './path.js';
import { show } from './show.js';
import { readCheckedSync } from './read-file.js';
import { replaceSync, syncRetry } from './replace.js';
import {
  defaultTimeout,
  replaceOptionNames,
  toReadRequest,
  toReplaceRequest,
  type ReplaceSyncOptions,
} from './replace-options.js';
import { Retries } from './retries.js';
import { acquireSync } from './taking.js';
import {
  commitOf,
  copyOfReturned,
  joinUpdates,
  type UpdateFunction,
  type UpdateRequest,
} from './update-group.js';

type LockPart = Pick<
  LockOptions,
  'session' | 'lockPath' | 'lockFileMode' | 'owners' | 'timeout' | 'onWait' | 'failOpen'
>;

type ReplacePart<Options extends ReplaceSyncOptions> = Omit<
  Options,
  'ifMatch' | 'lock' | 'createOnly' | 'links' | 'timeout'
>;

export interface UpdateSyncOptions extends LockPart, ReplacePart<ReplaceSyncOptions> {
  /** A target that is a link: refuse it (ELOOP), or update what it leads to. @default 'refuse' */
  links?: 'refuse' | 'follow' | undefined;
  /** Milliseconds that the lock is waited for. @default 30000 */
  timeout?: number | undefined;
  /** Longer files are EFBIG. @default 64 MiB */
  maxBytes?: number | undefined;
}

export interface UpdateOptions extends UpdateSyncOptions, TtlOption {
  /**
   * Ends the wait, or takes this change out of the commit, until `fn` has returned; the lock is held until it has.
   */
  signal?: AbortSignal | undefined;
  /**
   * An update inside a `withLock` or another update of the same file, in one asynchronous flow, would wait for itself: `'error'`
   * rejects with EDEADLK, `'wait'` waits (for an update that is started inside but is not awaited there).
   * @default 'error'
   */
  nested?: 'error' | 'wait' | undefined;
}

const ownNames = new Set(['maxBytes', 'nested']);
const lockNames = new Set([
  ...['session', 'lockPath', 'lockFileMode', 'owners', 'timeout', 'onWait', 'ttl', 'failOpen'],
]);
const notForUpdate = new Set(['ifMatch', 'lock', 'createOnly']);
const updateNames: ReadonlySet<string> = new Set(
  [...replaceOptionNames, ...lockNames, ...ownNames].filter((name) => !notForUpdate.has(name)),
);
const updateSyncNames = without(without(updateNames, 'signal'), 'nested');
const namesElsewhere = new Set([...updateNames, ...lockOptionNames]);
/** What each step is told. */
const namesForLock = new Set([...lockNames, 'links', 'parents', 'within']);
const namesForRead = new Set(['maxBytes', 'journalDir', 'links', 'parents', 'owners', 'within']);
const namesForReplace = without(without(replaceOptionNames, 'signal'), 'timeout');

/**
 * Changes a file under its lock: takes the lock, reads, calls `fn`, replaces the file by what it returned, releases.
 *
 * Resolves with what `fn` has made of the file, null when it is absent. Concurrent calls for one file with equal options
 * share lock and commit: each `fn` sees the result of those before it, and one that throws drops its own change only. Each
 * call resolves with its own result, has its own `signal`, `onWait` and error, and runs in its own asynchronous context.
 *
 * The commit is a compare-and-swap: when somebody without the lock has changed the file meanwhile, `fn` is called again
 * with what is there now, so it should have no effects but its result. That is tried for `retry` milliseconds, then
 * ECONFLICT. So with `failOpen` nobody's change is lost either, as far as everybody changes the file with `updateFile` or
 * `ifMatch`.
 *
 * Rejects with what `lock` and `replaceFile` reject with (ETIMEDOUT after 30 seconds by default), with the error of `fn`,
 * or with ECOMPROMISED when the lock was lost before the commit.
 *
 * @see [Many writers](../docs/atomic-replace.md#many-writers)
 */
export async function updateFile(
  path: string | URL,
  fn: UpdateFunction<Data | undefined | PromiseLike<Data | undefined>>,
  options?: UpdateOptions,
): Promise<Buffer | null> {
  checkArgumentCount('updateFile', arguments.length, 3);
  const request = toUpdateRequest('updateFile', path, options);
  checkFunction('updateFile', fn);
  request.caller.signal?.throwIfAborted();
  return joinUpdates(request, fn);
}

/** As {@link updateFile}, on this thread. */
export function updateFileSync(
  path: string | URL,
  fn: UpdateFunction<Data | undefined>,
  options?: UpdateSyncOptions,
): Buffer | null {
  checkArgumentCount('updateFileSync', arguments.length, 3);
  const request = toUpdateRequest('updateFileSync', path, options);
  checkFunction('updateFileSync', fn);
  const held = acquireSync({ ...request.lock, onWait: request.caller.onWait });
  try {
    const retries = new Retries(request.replace.retry ?? syncRetry);
    for (;;) {
      const read = readCheckedSync(request.read);
      const returned = fn(read && Buffer.from(read.contents));
      if (returned === undefined) {
        verifyBeforeWrite(held);
        return read && read.contents;
      }
      const contents = copyOfReturned(returned);
      try {
        replaceSync(
          commitOf(request.replace, read?.identity ?? null, held),
          new GivenBytes(contents),
        );
        return contents;
      } catch (error) {
        if (!isConflict(error) || retries.exhausted) throw error;
      }
      retries.waitSync();
    }
  } finally {
    releaseSyncOrWarn(held);
  }
}

/** Gets the current value, null when there is no file; returns the new one, or undefined to leave the file alone. */
export type JsonFunction<Value> = (
  current: Value | null,
) => Value | undefined | PromiseLike<Value | undefined>;

/**
 * {@link updateFile} for a file of JSON: `fn` gets its value, null when there is no file, and returns the new one. A file
 * that is no JSON is ECORRUPT and left alone.
 */
export async function updateJson<Value>(
  path: string | URL,
  fn: JsonFunction<Value>,
  options?: UpdateOptions,
): Promise<Value | null> {
  checkArgumentCount('updateJson', arguments.length, 3);
  checkFunction('updateJson', fn);
  const contents = await updateFile(
    path,
    async (current) => {
      const value = await fn(current === null ? null : (parseJson(path, current) as Value));
      return value === undefined ? undefined : toJson(value);
    },
    options,
  );
  return contents === null ? null : (parseJson(path, contents) as Value);
}

function toJson(value: unknown): string {
  // Despite its type it knows no text for functions and symbols.
  const text = JSON.stringify(value, null, 2) as string | undefined;
  if (text !== undefined) return `${text}\n`;
  throw new TypeError(`what fn returns must be a value of JSON, got ${show(value)}`);
}

function parseJson(path: string | URL, contents: Buffer): unknown {
  try {
    return JSON.parse(contents.toString());
  } catch (cause) {
    throw new HoldfastError('ECORRUPT', `the file holds no JSON, '${String(path)}'`, {
      path: String(path),
      cause,
    });
  }
}

function without(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  return new Set([...names].filter((one) => one !== name));
}

function pick(
  given: Record<string, unknown>,
  wanted: ReadonlySet<string>,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([name]) => wanted.has(name)));
}

/** Checks everything before anything is locked; what is relative is resolved here, and never again. */
function toUpdateRequest(
  form: 'updateFile' | 'updateFileSync',
  path: unknown,
  options: unknown,
): UpdateRequest {
  const synchronous = form === 'updateFileSync';
  const allowed = synchronous ? updateSyncNames : updateNames;
  const given = checkNames(form, options, allowed, namesElsewhere);
  const target = toTarget('path', path);
  const lockOptions = pick(given, namesForLock);
  if (lockOptions.timeout === undefined) lockOptions.timeout = defaultTimeout;
  const lock = toRequest(synchronous ? 'lockSync' : 'lock', target, lockOptions);
  const { onWait } = lock;
  const nested = oneOf('nested', given.nested, ['error', 'wait']);
  const nesting = synchronous || nested === 'wait' ? undefined : currentNesting();
  const signal = given.signal === undefined ? undefined : toSignal(given.signal);
  return {
    path: target,
    lock: { ...lock, onWait: undefined },
    read: toReadRequest('readRegularFile', target, pick(given, namesForRead)),
    replace: toReplaceRequest('replaceFile', target, pick(given, namesForReplace)),
    caller: { signal, onWait, nesting },
  };
}

function checkFunction(form: string, fn: unknown): void {
  if (typeof fn !== 'function') {
    throw new TypeError(`fn of ${form} must be a function, got ${show(fn)}`);
  }
}
