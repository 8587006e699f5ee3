/** A lock that outlives its process: a file that says which session holds it, and for how long. */
import { checkArgumentCount } from './option-checks.js';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { HoldfastError } from './errors.js';
import { publish } from './events.js';
import type { FileLock } from './file-lock.js';
import { changeUnderLock } from './lock.js';
import { readChecked } from './read-file.js';
import { removeFile } from './remove-file.js';
import { replaceFile } from './replace.js';
import { toReadRequest, type FileIdentity } from './replace-options.js';
import type { SessionIdentity } from './sanitize.js';
import {
  formatSessionFile,
  longestSessionFile,
  parseSessionFile,
  printableHost,
  type ParsedSessionFile,
  type SessionLockRecord,
} from './session-file.js';
import {
  toSessionCall,
  toSessionLockPlace,
  type SessionLockOptions,
  type SessionLockPlace,
  type SessionCall,
  type SessionOptions,
  type SessionTransitionOptions,
} from './session-options.js';

/**
 * How a session lock looks to a session:
 * `own`: it is this session's, also when its ttl is over (`expired`);
 * `foreign`: it is another session's;
 * `no-session`: it or the asking side has no session id that could be compared, so that only the ttl counts;
 * `ttl-expired`: it is not known to be this session's, and has shown no sign of life for longer than its ttl;
 * `malformed`: what is there cannot be believed;
 * `absent`: nothing is there.
 */
export type SessionLockReason =
  'own' | 'foreign' | 'no-session' | 'ttl-expired' | 'malformed' | 'absent';

export interface SessionLockStatus {
  path: string;
  reason: SessionLockReason;
  /** Whether there has been no sign of life for longer than the ttl: `breakStale` would remove the lock. */
  expired: boolean;
  /** What the file says; null when it is absent or malformed. */
  record: SessionLockRecord | null;
}

/** What a transition came to. */
export interface SessionTransition {
  /** Whether it was made. */
  changed: boolean;
  /** What was there before, or what was in the way. */
  found: SessionLockStatus;
  /** What the file says now; null when it is absent or malformed. */
  record: SessionLockRecord | null;
}

/** Milliseconds. */
const defaultTtl = 30_000;
const sessionFileMode = 0o600;

/** What a change came to: what the file says now, rightly nothing, or nothing as somebody who asks for no lock was faster. */
type Outcome = { record: SessionLockRecord | null } | 'not-made' | 'overtaken';

interface ReadSessionFile {
  parsed: ParsedSessionFile;
  identity: FileIdentity;
  /** When it last changed by the file system's clock: milliseconds since 1970. */
  modifiedMs: number;
}

/** A status, and what is needed to change the file that it is about. */
interface Look {
  status: SessionLockStatus;
  identity: FileIdentity | null;
  foreign: boolean;
}

/**
 * A lock that outlives the process that creates it, in the file `path`, for tools whose processes are short and whose
 * sessions are long. Another process of the same session knows it by the session's id; one that a crashed session has
 * left is told by its ttl.
 *
 * The file is the lock. It appears whole, never replaces anything and never goes through a link, has mode 0600, and is
 * changed and removed only under the kernel's lock on its path, so that no two programs that use holdfast both create,
 * or both break it, and none breaks a lock that has just been renewed. Whoever may write in its directory can do what
 * they like with it. The wall clock decides what is expired, as nothing else outlives a process: a step of the clock by
 * more than the ttl, either way, makes a lock look expired until it is renewed, and `renew` then tells its session if
 * somebody has broken it.
 *
 * Session ids are untrusted. An id is stored sanitized, and compared with the SHA-256 of what was given. `''`, null,
 * undefined and `unknown` are no id.
 *
 * Every method rejects with a TypeError or RangeError when an argument is wrong, with a refusal (`refused: true`) when a
 * link (ELOOP), a FIFO or the like (EINVAL) or another file (ECORRUPT; `status` says `malformed`) is at `path`, and with
 * the system's error otherwise. What cannot be believed is published on `holdfast:record_rejected`.
 *
 * @see [Session locks](../docs/session-locks.md)
 */
export class SessionLock {
  readonly path: string;
  readonly #place: SessionLockPlace;
  /** The token of the lock that was created through this object: where no ids can be compared, it tells its own by that. */
  #created: number | null = null;

  constructor(path: string | URL, options?: SessionLockOptions) {
    checkArgumentCount('SessionLock', arguments.length, 2);
    this.#place = toSessionLockPlace(path, options);
    this.path = this.#place.path;
  }

  /**
   * Creates the lock, unless anything is at `path`, an expired lock included: `breakStale` removes that first. Without a
   * session id only this object can renew and release it. The directory must exist.
   */
  async create(options?: SessionTransitionOptions): Promise<SessionTransition> {
    checkArgumentCount('sessionLock.create', arguments.length, 1);
    const call = toSessionCall('create', options);
    return this.#transition(call, async ({ status }, held) => {
      if (status.reason !== 'absent') return 'not-made';
      const now = new Date();
      // It has been granted, so that there is a token.
      const token = held.token ?? 0;
      const record: SessionLockRecord = {
        session: call.session?.id ?? null,
        sessionHash: call.session?.hash ?? null,
        createdAt: now,
        renewedAt: now,
        ttl: call.ttl ?? defaultTtl,
        token,
        pid: process.pid,
        host: printableHost(hostname()),
      };
      await this.#write(record, { createOnly: true, signal: call.signal }, held);
      this.#created = token;
      return { record };
    });
  }

  /** What the lock's file says; null when it is absent. Takes no lock. Rejects with ECORRUPT when it is malformed. */
  async read(): Promise<SessionLockRecord | null> {
    checkArgumentCount('sessionLock.read', arguments.length, 0);
    const { status } = await this.#look(toSessionCall('read', undefined));
    if (status.reason === 'malformed') throw this.#corrupt('the file is no session lock');
    return status.record;
  }

  /** How the lock looks to a session. Takes no lock, and neither changes anything nor leaves anything behind. */
  async status(options?: SessionOptions): Promise<SessionLockStatus> {
    checkArgumentCount('sessionLock.status', arguments.length, 1);
    return (await this.#look(toSessionCall('status', options))).status;
  }

  /** Shows a sign of life, if the lock is this session's own; with `ttl` it gets a new one. */
  async renew(options?: SessionTransitionOptions): Promise<SessionTransition> {
    checkArgumentCount('sessionLock.renew', arguments.length, 1);
    const call = toSessionCall('renew', options);
    return this.#transition(call, async ({ status, identity }, held) => {
      if (status.reason !== 'own' || status.record === null || identity === null) return 'not-made';
      const { ttl = status.record.ttl, signal } = call;
      const record = { ...status.record, ttl, renewedAt: new Date() };
      await this.#write(record, { ifMatch: { identity }, signal }, held);
      return { record };
    });
  }

  /** Removes the lock, if it is this session's own. */
  async release(options?: SessionTransitionOptions): Promise<SessionTransition> {
    checkArgumentCount('sessionLock.release', arguments.length, 1);
    return this.#remove('release', options, ({ reason }) => reason === 'own');
  }

  /**
   * Removes the lock, whosever it is, if there has been no sign of life for longer than its ttl. One that is malformed is
   * older than `ttl` when its file is.
   */
  async breakStale(options?: SessionTransitionOptions): Promise<SessionTransition> {
    checkArgumentCount('sessionLock.breakStale', arguments.length, 1);
    return this.#remove('breakStale', options, ({ expired }) => expired);
  }

  async #remove(
    form: 'release' | 'breakStale',
    options: SessionTransitionOptions | undefined,
    mayRemove: (status: SessionLockStatus) => boolean,
  ): Promise<SessionTransition> {
    const call = toSessionCall(form, options);
    return this.#transition(call, async ({ status, identity }, held) => {
      if (!mayRemove(status) || identity === null) return 'not-made';
      held.verify();
      const { parents } = this.#place;
      const removed = await removeFile(this.path, identity, { parents, signal: call.signal });
      return removed ? { record: null } : 'overtaken';
    });
  }

  /** Runs `change` on what is there, under the kernel's lock on the path. */
  async #transition(
    call: SessionCall,
    change: (found: Look, held: FileLock) => Promise<Outcome>,
  ): Promise<SessionTransition> {
    const { parents, timeout } = this.#place;
    const options = { parents, timeout, signal: call.signal };
    return changeUnderLock(this.path, options, async (held) => {
      const found = await this.#look(call);
      if (found.foreign) throw this.#corrupt('refused a file that holds other data');
      const outcome = await change(found, held).catch((error: unknown): Outcome => {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST' || code === 'ECONFLICT') return 'overtaken';
        throw error;
      });
      if (typeof outcome === 'object') return { changed: true, found: found.status, ...outcome };
      const { status } = outcome === 'overtaken' ? await this.#look(call) : found;
      return { changed: false, found: status, record: status.record };
    });
  }

  async #write(
    record: SessionLockRecord,
    how: {
      createOnly?: true;
      ifMatch?: { identity: FileIdentity };
      signal?: AbortSignal | undefined;
    },
    held: FileLock,
  ): Promise<void> {
    const { parents } = this.#place;
    await replaceFile(this.path, formatSessionFile(record), {
      ...how,
      ...{ parents, lock: held, mode: sessionFileMode },
      // A copy into the file would be seen half done.
      copyFallback: 'never',
    });
  }

  async #look(call: SessionCall): Promise<Look> {
    const contents = await this.#readFile();
    const base = { path: this.path, expired: false, record: null };
    if (contents === null) {
      return { status: { ...base, reason: 'absent' }, identity: null, foreign: false };
    }
    const { parsed, identity, modifiedMs } = contents;
    this.#reportRejected(parsed);
    if (parsed.state === 'malformed') {
      // Nothing else can be believed of it but when it was last changed.
      const expired = !parsed.foreign && isOver(modifiedMs, call.ttl ?? defaultTtl);
      const status: SessionLockStatus = { ...base, reason: 'malformed', expired };
      return { status, identity, foreign: parsed.foreign };
    }
    const { record } = parsed;
    const expired = isOver(record.renewedAt.getTime(), record.ttl);
    const compared = relationTo(record, call.session);
    const isOurs = compared === 'no-session' && record.token === this.#created;
    const relation = isOurs ? 'own' : compared;
    const reason = expired && relation !== 'own' ? 'ttl-expired' : relation;
    return { status: { ...base, reason, expired, record }, identity, foreign: false };
  }

  async #readFile(): Promise<ReadSessionFile | null> {
    try {
      const options = { parents: this.#place.parents, maxBytes: longestSessionFile };
      const read = await readChecked(toReadRequest('SessionLock', this.path, options));
      return read && { parsed: parseSessionFile(read.contents), ...read };
    } catch (error) {
      const { code, path } = error as NodeJS.ErrnoException;
      // Without its directory there is no file either.
      if (code === 'ENOENT' && path === dirname(this.path)) return null;
      if (code !== 'EFBIG') throw error;
      return { parsed: { state: 'malformed', foreign: true }, identity: '', modifiedMs: NaN };
    }
  }

  #reportRejected(parsed: ParsedSessionFile): void {
    if (parsed.state === 'valid' && !parsed.sessionRejected) return;
    const reason = parsed.state === 'valid' ? 'session_id' : 'malformed';
    publish('record_rejected', { lockPath: this.path, reason });
  }

  #corrupt(what: string): HoldfastError {
    const { path } = this;
    return new HoldfastError('ECORRUPT', `${what}, '${path}'`, { path, refused: true });
  }
}

/** A moment that lies further ahead than a ttl was told by another clock, and says as little as one long past. */
function isOver(signOfLife: number, ttl: number): boolean {
  return Math.abs(Date.now() - signOfLife) > ttl;
}

function relationTo(
  { session, sessionHash }: SessionLockRecord,
  asking: SessionIdentity | null,
): 'own' | 'foreign' | 'no-session' {
  if (session === null || asking === null) return 'no-session';
  const sameHash = sessionHash === null || sessionHash === asking.hash;
  return session === asking.id && sameHash ? 'own' : 'foreign';
}
