/** A file that keeps what was published on the diagnostics channels. */
import { subscribe, unsubscribe, type Channel } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { toError } from './errors.js';
import { channels, type HoldfastEventName, type LockTrace } from './events.js';
import { toJournalLine, toLossLine } from './journal-line.js';
import { LogFlag, native, type NativeAppending } from './native.js';
import { sleepSync } from './retries.js';
import { checkArgumentCount, checkNames, oneOf, toMode } from './option-checks.js';
import { toTarget } from './path.js';
import { show } from './show.js';

export interface JournalOptions {
  /**
   * What is kept.
   * @default every event but `lock`, `contended` and `released`, of which every lock has one
   */
  events?: readonly HoldfastEventName[] | undefined;
  /** Exact permission bits of a file that is created. Owner read and write are required. @default 0o600 */
  mode?: number | undefined;
  /**
   * In a directory that others can write: `'trusted'` refuses (EPERM) a file that belongs to neither us, the superuser nor
   * the directory's owner; `'any'` accepts it. @default 'trusted'
   */
  owners?: 'trusted' | 'any' | undefined;
  /** Links among the directories on the way. @default 'trust' */
  parents?: 'trust' | 'refuse-links' | undefined;
}

const eventNames = Object.keys(channels) as HoldfastEventName[];
const frequentEvents: readonly HoldfastEventName[] = ['lock', 'contended', 'released'];
const rareEvents = eventNames.filter((name) => !frequentEvents.includes(name));
const optionNames = new Set(['events', 'mode', 'owners', 'parents']);
const ownerReadWrite = 0o600;

/** Characters that wait to be written; older ones are dropped, and counted. */
const maxWaiting = 1 << 20;
/** Milliseconds between tries while somebody else appends; the last one goes on. */
const delays = [1, 2, 5, 10, 20];
/** Whoever keeps the file's lock for longer does not keep us from writing. */
const longestBusy = 1000;
const longestBusyAtExit = 100;

/**
 * Appends a line of JSON to `file` for every event that this thread publishes from now on: `event` (its name), `time`,
 * `pid`, `host` and the fields of the event. Any number of processes may keep one journal: each line is whole.
 *
 * On a local file system a line is in the file before the publisher goes on, unless another process was appending at that
 * very moment: then it follows within milliseconds, at the end of the process too. Lost is what waits in a process that is
 * killed, and, on a network file system, what an append under way has not written at `process.exit()`. Nothing is flushed
 * to the disk. A journal that cannot be written (a full disk) warns once (`HOLDFAST_JOURNAL`), keeps up to 1 MiB of lines
 * for later and never fails what it tells of. The file stays open, so that lines are written when descriptors have run
 * out; one that is renamed or removed is made anew. No locks of holdfast's are taken, so a journal never tells of itself.
 *
 * Rejects with the system's error, or with a refusal: ELOOP, EMLINK, EINVAL, EPERM, EACCES, as for a lock file.
 */
export async function openJournal(file: string | URL, options?: JournalOptions): Promise<Journal> {
  checkArgumentCount('openJournal', arguments.length, 2);
  const path = toTarget('file', file);
  const given = checkNames('openJournal', options, optionNames);
  const events = toEvents(given.events);
  const mode =
    given.mode === undefined ? ownerReadWrite : toMode('mode', given.mode, ownerReadWrite);
  let flags = 0;
  if (oneOf('parents', given.parents, ['trust', 'refuse-links']) === 'refuse-links') {
    flags |= LogFlag.refuseParentLinks;
  }
  if (oneOf('owners', given.owners, ['trusted', 'any']) === 'any') flags |= LogFlag.anyOwner;
  const opened = await native.openLog(path, mode, flags);
  if (!opened.ok) throw toError(opened.error);
  return new Journal(path, opened, events);
}

function toEvents(events: unknown): readonly HoldfastEventName[] {
  if (events === undefined) return rareEvents;
  if (Array.isArray(events)) {
    const unknown: unknown = events.find((name) => !eventNames.includes(name as 'lock'));
    if (unknown === undefined) return [...new Set(events as HoldfastEventName[])];
    throw new TypeError(
      `option 'events' must name events (${eventNames.join(', ')}), got ${show(unknown)}`,
    );
  }
  throw new TypeError(`option 'events' must be an array of names, got ${show(events)}`);
}

/** A journal that is being kept. */
export class Journal implements AsyncDisposable, Disposable {
  /** Absolute path of the file. */
  readonly path: string;

  readonly #id: number;
  readonly #remote: boolean;
  readonly #unsubscribe: (() => void)[] = [];
  #waiting: Batch = { lines: [], length: 0, lost: 0 };
  readonly #patience = new Patience(longestBusy);
  #lostInAll = 0;
  #warned = false;
  /** Whether events are kept; and whether the file may not be used any more. */
  #open = true;
  #closed = false;
  #isWriting = false;
  /** What the last writing came to. */
  #written: Promise<Error | null> = Promise.resolve(null);

  /** @internal */
  constructor(
    path: string,
    { id, remote }: { id: number; remote: boolean },
    events: readonly HoldfastEventName[],
  ) {
    this.path = path;
    this.#id = id;
    this.#remote = remote;
    for (const name of events) this.#subscribe(name);
    openJournals.add(this);
    if (openJournals.size === 1) process.on('exit', writeAllAtExit);
  }

  /** How many lines were lost because they could not be written. */
  get lost(): number {
    return this.#lostInAll;
  }

  /** Resolves when every line so far is in the file; rejects with the system's error when one cannot be written. */
  async flush(): Promise<void> {
    checkArgumentCount('journal.flush', arguments.length, 0);
    const error = await this.#write();
    if (error !== null) throw error;
  }

  /** Ends the journal: nothing is kept any more, and what waits is written. Rejects as {@link flush} does. */
  async close(): Promise<void> {
    checkArgumentCount('journal.close', arguments.length, 0);
    if (!this.#end()) return;
    try {
      await this.flush();
    } finally {
      this.#closeLog();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** As {@link close}, on this thread. */
  [Symbol.dispose](): void {
    if (!this.#end()) return;
    const error = this.#writeNow(longestBusy);
    this.#closeLog();
    if (error !== null) throw error;
  }

  /** What waits is written, as far as that takes no longer than the end of a process may. @internal */
  writeAtExit(): void {
    this.#writeNow(longestBusyAtExit);
  }

  /** From here on nothing is handed to the closed file: what could not be written is lost. */
  #closeLog(): void {
    this.#closed = true;
    this.#lostInAll += this.#takeWaiting().lines.length;
    native.closeLog(this.#id);
  }

  #end(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    openJournals.delete(this);
    if (openJournals.size === 0) process.off('exit', writeAllAtExit);
    return true;
  }

  #subscribe(name: HoldfastEventName): void {
    if (name === 'lock') {
      this.#subscribeToLocks();
      return;
    }
    const channel = channels[name];
    this.#listen(channel, (data) => {
      this.#add(toJournalLine(name, data));
    });
  }

  #subscribeToLocks(): void {
    const { end, asyncEnd } = channels.lock;
    const onEnd = (trace: unknown): void => {
      // The end of an asynchronous form's first part comes before its outcome.
      if (!isEnded(trace)) return;
      this.#add(toJournalLine('lock', trace));
    };
    this.#listen(end, onEnd);
    this.#listen(asyncEnd, onEnd);
  }

  #listen({ name }: Channel, onMessage: (message: unknown) => void): void {
    subscribe(name, onMessage);
    this.#unsubscribe.push(() => unsubscribe(name, onMessage));
  }

  #add(line: string): void {
    this.#waiting.lines.push(line);
    this.#waiting.length += line.length;
    this.#dropOldest();
    // At each event, since a program may not come back to its event loop for long.
    if (this.#remote || !this.#appendWaiting(this.#patience).appended) void this.#write();
  }

  /** Writes what waits; whoever does already takes along what has come since. */
  #write(): Promise<Error | null> {
    if (!this.#isWriting) this.#written = this.#writeAll();
    return this.#written;
  }

  /** Up to its first wait this is done at once. */
  async #writeAll(): Promise<Error | null> {
    this.#isWriting = true;
    try {
      while (this.#hasWaiting()) {
        const { appended, error } = this.#remote
          ? await this.#appendElsewhere(this.#patience)
          : this.#appendWaiting(this.#patience);
        if (error !== null) return error;
        if (!appended) await sleep(this.#patience.nextDelay());
      }
      return null;
    } finally {
      this.#isWriting = false;
    }
  }

  /** As {@link #writeAll}, blocking this thread for up to `longest` milliseconds. */
  #writeNow(longest: number): Error | null {
    // What another thread is writing can be neither waited for nor written twice.
    if (this.#isWriting && this.#remote) return null;
    for (const patience = new Patience(longest); this.#hasWaiting();) {
      const { appended, error } = this.#appendWaiting(patience);
      if (error !== null) return error;
      if (!appended) sleepSync(patience.nextDelay());
    }
    return null;
  }

  #hasWaiting(): boolean {
    return this.#waiting.lines.length > 0 && !this.#closed;
  }

  #appendWaiting(patience: Patience): Appended {
    const batch = this.#takeWaiting();
    const appending = native.appendToLogSync(this.#id, toText(batch), patience.ended);
    return this.#conclude(batch, appending, patience);
  }

  async #appendElsewhere(patience: Patience): Promise<Appended> {
    const batch = this.#takeWaiting();
    const appending = await native.appendToLog(this.#id, toText(batch), patience.ended);
    return this.#conclude(batch, appending, patience);
  }

  #takeWaiting(): Batch {
    const batch = this.#waiting;
    this.#waiting = { lines: [], length: 0, lost: 0 };
    return batch;
  }

  /** Keeps what was not written for later. */
  #conclude(batch: Batch, appending: NativeAppending, patience: Patience): Appended {
    if (appending.appended) {
      patience.renew();
      return { appended: true, error: null };
    }
    this.#putBack(batch);
    if (appending.ok) {
      patience.begin();
      return { appended: false, error: null };
    }
    const error = toError(appending.error);
    this.#warn(error);
    return { appended: false, error };
  }

  #putBack(batch: Batch): void {
    if (this.#closed) {
      this.#lostInAll += batch.lines.length;
      return;
    }
    const { lines, length, lost } = this.#waiting;
    this.#waiting = {
      lines: [...batch.lines, ...lines],
      length: batch.length + length,
      lost: batch.lost + lost,
    };
    this.#dropOldest();
  }

  #dropOldest(): void {
    const waiting = this.#waiting;
    while (waiting.length > maxWaiting && waiting.lines.length > 1) {
      waiting.length -= waiting.lines.shift()?.length ?? 0;
      waiting.lost++;
      this.#lostInAll++;
    }
  }

  #warn(error: Error): void {
    if (this.#warned) return;
    this.#warned = true;
    process.emitWarning(`The journal '${this.path}' cannot be written: ${error.message}`, {
      type: 'HoldfastWarning',
      code: 'HOLDFAST_JOURNAL',
    });
  }
}

/** What an append came to: neither when somebody else was appending. */
interface Appended {
  appended: boolean;
  error: Error | null;
}

/** Lines that are written together. */
interface Batch {
  lines: string[];
  /** Their characters. */
  length: number;
  /** How many before them were dropped. */
  lost: number;
}

/** Anybody in this process may publish anything on a channel, and an error here would be thrown at the publisher. */
function isEnded(trace: unknown): boolean {
  try {
    return (trace as LockTrace).waitedMs !== undefined;
  } catch {
    return false;
  }
}

function toText({ lines, lost }: Batch): string {
  return (lost === 0 ? '' : toLossLine(lost)) + lines.join('');
}

/** How long somebody else may keep us from appending. */
class Patience {
  readonly #longest: number;
  #end = Infinity;
  #tries = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** Somebody does; the first time counts. */
  begin(): void {
    this.#end = Math.min(this.#end, performance.now() + this.#longest);
  }

  renew(): void {
    this.#end = Infinity;
    this.#tries = 0;
  }

  get ended(): boolean {
    return this.#end !== Infinity && performance.now() >= this.#end;
  }

  nextDelay(): number {
    return delays[Math.min(this.#tries++, delays.length - 1)] ?? 0;
  }
}

/** Those that are open, in this thread. */
const openJournals = new Set<Journal>();

function writeAllAtExit(): void {
  for (const journal of openJournals) journal.writeAtExit();
}
