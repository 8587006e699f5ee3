/** The addon, typed: the only file that uses it. load-addon.ts finds and loads it. */
import { hostname } from 'node:os';

import { loadAddon } from './load-addon.js';

/** What one native step came to; the same numbers as `Outcome` in native/environment.h. */
export const Outcome = {
  granted: 0,
  /** Somebody holds a conflicting lock. */
  busy: 1,
  /** Callers of this environment wait for it already. */
  queued: 2,
  /** The directory has to be touched off this thread first. */
  unseen: 3,
  /** Another machine may have to answer: only off this thread. */
  remote: 4,
  /** The file that was waited for is no longer the lock file. */
  stale: 5,
  /** Granted by the kernel, while somebody is about to take the lock over: only off this thread. */
  guarded: 6,
  /** The holder has shown no sign of life for its ttl. */
  overdue: 7,
  failed: 8,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** The bits of a request; the same as `RequestFlag` in native/lock_binding.cc. */
export const RequestFlag = {
  shared: 1,
  refuseParentLinks: 4,
  anyOwner: 8,
  mayBlock: 16,
  overtake: 32,
  keepFile: 64,
} as const;

/** The same numbers as `RecordState` in native/record.h. */
export const RecordState = { valid: 0, empty: 1, malformed: 2, foreign: 3 } as const;

/** The same numbers as `Liveness` in native/platform.h. */
export const livenessNames = ['alive', 'dead', 'unknown'] as const;

/** The same numbers as `FileSystemClass` in native/platform.h. */
export const fileSystemClassNames = ['local', 'network', 'unknown'] as const;

/** Places in `result`, and the bits in one of them; the same as in native/addon_data.cc. */
export const ResultIndex = { id: 0, token: 1, previousFlags: 2, remote: 3, age: 4 } as const;
export const PreviousFlag = {
  hasHolder: 1,
  malformed: 2,
  sessionRejected: 4,
  takenOver: 8,
} as const;

export interface NativeRecord {
  state: number;
  sessionRejected: boolean;
  /** 0 when the record names no holder. */
  pid: number;
  host: string;
  startToken: string;
  sessionId: string;
  sessionHash: string;
  acquiredAt: number;
  token: number;
  ttl: number;
  epoch: number;
}

export interface NativeError {
  errno: number;
  syscall: string;
  path: string;
  refusal: number;
  owner: number;
  /** The system's own number where `errno` is none: a Win32 code. Else 0. */
  systemCode: number;
  description: string;
}

export interface NativeInspection {
  path: string;
  fileSystem: string;
  fileSystemClass: number;
  known: boolean;
  held: boolean;
  shared: boolean;
  liveness: number;
  record: NativeRecord;
  pids: number[];
  inheritors: number[];
}

/**
 * What openReplacement() is told by one number: these bits, the durability and when to copy, as the enums of
 * native/platform.h and native/replace.h number them. The same as in native/replace_binding.cc.
 */
export const ReplaceFlag = {
  replaceLink: 1,
  refuseParentLinks: 2,
  splitHardLinks: 4,
  createOnly: 8,
  keepMode: 16,
  keepOwner: 32,
  keepXattr: 64,
  keepAcl: 128,
  recursive: 256,
  // Between them are the durability and when to copy.
  anyOwner: 1 << 13,
} as const;
export const durabilityShift = 9;
export const copyFallbackShift = 11;

/** What few replaces ask for. */
export interface NativeReplaceOptions {
  within?: string;
  journalDir?: string;
  dirMode?: number;
  requireDirMode?: number;
  tightenDir?: number;
  /** An identity, or '' for an absent file. */
  expected?: string;
  /** The id of a held lock: published only as long as it is held. */
  lock?: number;
}

/** The same bits as `StepFlag` in native/replace_binding.cc. */
export const ReplaceStep = { begin: 1, write: 2, commit: 4, lastTry: 8 } as const;

export interface NativeReplaceFailure {
  phase: string;
  published: boolean;
  conflict: boolean;
  cancelled: boolean;
  /** The lock was. */
  lost: boolean;
  /** Nothing has changed, and the same steps may be tried again. */
  transient: boolean;
  targetState: number;
  error: NativeError;
  /** What `replaceSync` keeps to be tried again, and to be closed. */
  id?: number;
}

/** The bits of a replace's result above its method; the same as in native/replace_binding.cc. */
export const ReplaceResultFlag = {
  durable: 4,
  superseded: 8,
  keptMode: 16,
  keptOwner: 32,
  keptXattr: 64,
  keptAcl: 128,
} as const;
export const replaceMethodMask = 3;

export type NativeReplaceResult = [
  flags: number,
  identity: string,
  /** What kept the file from being renamed into place, if that was tried. */
  fallback?: NativeError,
];

export type ReplaceArguments = [
  path: string,
  flags: number,
  mode: number | undefined,
  options: NativeReplaceOptions | undefined,
];

export type StepArguments = [
  id: number,
  steps: number,
  bytes?: Uint8Array | undefined,
  size?: number,
];

export type NativeReplaceOutcome = NativeReplaceResult | NativeReplaceFailure;

export const isReplaceFailure = (outcome: NativeReplaceOutcome): outcome is NativeReplaceFailure =>
  !Array.isArray(outcome);

export interface NativeReadOptions {
  path: string;
  refuseParentLinks: boolean;
  anyOwner: boolean;
  maxBytes: number;
  within?: string;
  journalDir?: string;
}

export type NativeReading =
  /** `transient`: a copy into the file is under way, and another try may succeed. */
  | { ok: false; transient: boolean; error: NativeError }
  | { ok: true; exists: false }
  | { ok: true; exists: true; identity: string; modifiedMs: number; contents: Buffer };

interface NativeRemoveOptions {
  path: string;
  refuseParentLinks: boolean;
  /** An identity; without one any file of that name is removed. */
  expected?: string;
}

type NativeListing = { ok: false; error: NativeError } | { ok: true; names: string[] };
type NativeRemoval =
  | { ok: false; transient: boolean; error: NativeError }
  /** Not removed: it was not the expected file. */
  | { ok: true; removed: boolean };
/** The bits of the third argument of openLog(); the same as `LogFlag` in native/append_log_binding.cc. */
export const LogFlag = { refuseParentLinks: 1, anyOwner: 2 } as const;

type NativeLogOpening =
  { ok: false; error: NativeError } | { ok: true; id: number; remote: boolean };

export type NativeAppending =
  { ok: false; appended: false; error: NativeError } | { ok: true; appended: boolean };

/** What a holder says of itself, if anything. */
export type ClaimantArguments =
  [] | [sessionId: string | undefined, sessionHash: string | undefined, ttl: number];

/** The same, and the directory that the target's must be beneath. */
type WithinArguments = [
  sessionId: string | undefined,
  sessionHash: string | undefined,
  ttl: number,
  within: string,
];

type NativeTailWriting =
  | { ok: false; error: NativeError }
  /** Nothing was written to a file of less than `offset` bytes. */
  | { ok: true; exists: boolean; fileSize: number };

type NativeRangeReading =
  { ok: false; error: NativeError } | { ok: true; exists: boolean; contents: Buffer };

type RangeArguments = [path: string, refuseParentLinks: boolean, offset: number, anyOwner: boolean];

type AcquireArguments = [
  target: string,
  lockPath: string | undefined,
  flags: number,
  fileMode: number,
  ...claimant: ClaimantArguments | WithinArguments,
];

/**
 * The addon's functions. Those named `start…` work in another thread and return an id; what they came to arrives at
 * `whenDelivered`. What a call brought besides its outcome is in `result` and behind the `last…` functions until the
 * next call.
 */
interface NativeBinding {
  acquire(...request: AcquireArguments): Outcome;
  startAcquire(...request: AcquireArguments): number;
  startTouch(...request: AcquireArguments): number;
  startInspect(...request: AcquireArguments): number;
  release(id: number): Outcome;
  releaseToHeirs(id: number): Outcome;
  startRelease(id: number): number;
  startGiveBack(id: number): number;
  verify(id: number): Outcome;
  startVerify(id: number): number;
  showLife(id: number): Outcome;
  startShowLife(id: number): number;
  startShowLateLife(id: number): number;
  descriptorOf(id: number): number;
  previousOf(id: number): NativeRecord | null;

  startWait(id: number, ...claimant: ClaimantArguments): Outcome;
  awaitWait(id: number, milliseconds: number): boolean;
  /** `patience`: milliseconds for one who is about to take the lock over. */
  complete(id: number, patience: number, ...claimant: ClaimantArguments): Outcome;
  startComplete(id: number, ...claimant: ClaimantArguments): number;
  cancel(id: number): void;
  interruptCancelled(): number;
  lookAtWait(id: number): Outcome;
  lookIntervalOf(id: number): number;
  takeOver(id: number, patience: number, ...request: AcquireArguments): Outcome;
  startTakeOver(id: number, ...request: AcquireArguments): number;
  conflictsWithHeld(id: number): boolean;
  holderOf(id: number): NativeRecord | null;
  keyOf(id: number): string;
  /** The directory beside a held lock that proper-lockfile goes by: granted, busy, or failed. */
  claimDirectory(id: number, directory: string, stale: number): Outcome;
  startClaimDirectory(id: number, directory: string, stale: number): number;
  isDirectoryContested(id: number): boolean;
  /** What is delivered under the id of the lock tells that its directory was lost. */
  startHeartbeat(id: number, interval: number): Outcome;
  checkDirectory(directory: string, stale: number, lockPath: string): Outcome;
  startCheckDirectory(directory: string, stale: number, lockPath: string): number;

  setQueued(key: string, queued: boolean): void;
  setReferenced(referenced: boolean): void;

  openReplacement(...request: ReplaceArguments): number;
  /** Copies `bytes`. `size`: how many bytes later steps will write. */
  replaceSteps(...steps: StepArguments): Promise<NativeReplaceOutcome>;
  replaceStepsSync(...steps: StepArguments): NativeReplaceOutcome;
  /** What replaceSteps() was last called for, made on this thread or awaited; undefined when it never was. */
  finishSteps(id: number): NativeReplaceOutcome | undefined;
  replaceSync(
    ...request: [...ReplaceArguments, steps: number, bytes: Uint8Array]
  ): NativeReplaceOutcome;
  cancelReplacement(id: number): void;
  closeReplacement(id: number): void;
  readFile(options: NativeReadOptions): Promise<NativeReading>;
  readFileSync(options: NativeReadOptions): NativeReading;
  removeFile(options: NativeRemoveOptions): Promise<NativeRemoval>;
  listNames(path: string, refuseParentLinks: boolean): Promise<NativeListing>;

  writeFileTail(
    ...range: [...RangeArguments, durability: number, bytes: Uint8Array]
  ): Promise<NativeTailWriting>;
  readFileRange(...range: [...RangeArguments, size: number]): Promise<NativeRangeReading>;

  openLog(path: string, mode: number, flags: number): Promise<NativeLogOpening>;
  appendToLog(id: number, lines: string, withoutLock: boolean): Promise<NativeAppending>;
  appendToLogSync(id: number, lines: string, withoutLock: boolean): NativeAppending;
  closeLog(id: number): void;

  bindDescendants(): NativeError | undefined;
  countDescendants(): number | NativeError;
  tryAttribute(path: string): NativeError | undefined;

  lastKey(): string;
  lastError(): NativeError;
  lastInspection(): NativeInspection;
  startToken(): string;
  parseRecord(block: Uint8Array, fileSize: number): NativeRecord;
}

const deliveries = new Map<number, (outcome: Outcome) => void>();

interface NativeAddon {
  /** The functions, with state and ids of their own: a process may load several copies of this package. */
  open(
    result: Float64Array,
    host: string,
    deliver: (id: number, outcome: Outcome) => void,
  ): NativeBinding;
}

export const result = new Float64Array(5);

const addon = loadAddon() as NativeAddon;

export const native = addon.open(result, hostname(), (id, outcome) => {
  const callback = deliveries.get(id);
  deliveries.delete(id);
  callback?.(outcome);
});

/**
 * Calls back once with the outcome of what was started under `id`, unless it is cancelled before. `result` and the
 * `last…` functions hold what came with it during the call only.
 */
export function whenDelivered(id: number, callback: (outcome: Outcome) => void): void {
  deliveries.set(id, callback);
}

let awaited = 0;

/** Somebody waits for a delivery: the process stays alive until as many calls of `endAwaiting` have followed. */
export function beginAwaiting(): void {
  awaited++;
  if (awaited === 1) native.setReferenced(true);
}

export function endAwaiting(): void {
  awaited--;
  if (awaited === 0) native.setReferenced(false);
}

/** Waits for what was started under `id` and makes its result of the outcome, while `last…` still tell of it. */
export function delivered<T>(id: number, toResult: (outcome: Outcome) => T): Promise<T> {
  beginAwaiting();
  return new Promise<T>((resolve) => {
    whenDelivered(id, (outcome) => {
      endAwaiting();
      resolve(
        new Promise((settle) => {
          settle(toResult(outcome));
        }),
      );
    });
  });
}

/** What was started under `id` is awaited in another way. */
export function forgetDelivery(id: number): void {
  deliveries.delete(id);
}

/** Ends a wait, or drops the file that a busy attempt kept. */
export function cancel(id: number): void {
  deliveries.delete(id);
  native.cancel(id);
  if (!interrupting) interruptCancelled(1);
}

const longestInterruptInterval = 1000;
let interrupting = false;

// A signal that reaches a thread just before it blocks is lost, so it is sent again until the thread has ended.
function interruptCancelled(delay: number): void {
  interrupting = native.interruptCancelled() > 0;
  if (!interrupting) return;
  setTimeout(interruptCancelled, delay, Math.min(delay * 2, longestInterruptInterval)).unref();
}
