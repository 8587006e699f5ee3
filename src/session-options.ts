import { checkNames, oneOf, toSignal, toTimeout } from './option-checks.js';
import { toTarget } from './path.js';
import { show } from './show.js';
import { sessionIdentity, type SessionIdentity } from './sanitize.js';
import { defaultTimeout } from './replace-options.js';

export interface SessionLockOptions {
  /** Milliseconds for which a transition waits for another one. 0 is one try. @default 30000 */
  timeout?: number | undefined;
  /** Links among the directories on the way. @default 'trust' */
  parents?: 'trust' | 'refuse-links' | undefined;
}

export interface SessionOptions {
  /** The id of the asking session. None, `''` and `unknown` are no session: then only the ttl counts. */
  session?: string | null | undefined;
  /**
   * Milliseconds without a sign of life after which the lock is presumed to be left over: for `create` and `renew` what
   * the lock is given, elsewhere the age at which a file is, that is malformed.
   * @default 30000; for `renew` what the lock has
   */
  ttl?: number | undefined;
}

export interface SessionTransitionOptions extends SessionOptions {
  /** Ends the wait for another transition, and this one up to the moment of its change; rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** Where a session lock is, checked. */
export interface SessionLockPlace {
  path: string;
  parents: 'trust' | 'refuse-links';
  timeout: number;
}

/** The checked options of one call. */
export interface SessionCall {
  session: SessionIdentity | null;
  ttl: number | undefined;
  signal: AbortSignal | undefined;
}

type Form = 'create' | 'read' | 'status' | 'renew' | 'release' | 'breakStale';

const placeNames = new Set(['timeout', 'parents']);
const statusNames = new Set(['session', 'ttl']);
const transitionNames = new Set([...statusNames, 'signal']);

export function toSessionLockPlace(path: unknown, options: unknown): SessionLockPlace {
  const given = checkNames('SessionLock', options, placeNames);
  return {
    path: toTarget('path', path),
    parents: oneOf('parents', given.parents, ['trust', 'refuse-links']) ?? 'trust',
    timeout: given.timeout === undefined ? defaultTimeout : toTimeout(given.timeout),
  };
}

export function toSessionCall(form: Form, options: unknown): SessionCall {
  const allowed = form === 'status' ? statusNames : transitionNames;
  const { session, ttl, signal } = checkNames(form, options, allowed, transitionNames);
  return {
    session: toSession(session),
    ttl: ttl === undefined ? undefined : toTtl(ttl),
    signal: signal === undefined ? undefined : toSignal(signal),
  };
}

function toSession(session: unknown): SessionIdentity | null {
  if (session === undefined || session === null) return null;
  if (typeof session === 'string') return sessionIdentity(session);
  throw new TypeError(`option 'session' must be a string or null, got ${show(session)}`);
}

function toTtl(ttl: unknown): number {
  if (typeof ttl !== 'number') {
    throw new TypeError(`option 'ttl' must be a number of milliseconds, got ${show(ttl)}`);
  }
  if (Number.isSafeInteger(ttl) && ttl > 0) return ttl;
  throw new RangeError(`option 'ttl' must be whole milliseconds, 1 or more, got ${show(ttl)}`);
}
