/** What a job is, and how it changes. No file is touched here. */
import { isThenable } from '../lock.js';
import { show } from '../show.js';

/** The fields of a job. What else a job has, its type adds; all of it must be JSON. */
export interface JobFields {
  status: string;
  /** 0 to 100. */
  progress_pct?: number | undefined;
  result?: unknown;
}

/** Fields to change: the others stay, and one that is undefined is removed. */
export type JobPatch<Job extends JobFields> = {
  [Field in keyof Job]?: Job[Field] | undefined;
};

/** A job as it was committed, without the lines of its log. */
export type StoredJob<Job extends JobFields> = Job & {
  id: string;
  /** Grows by one with every change; 1 is the job's first. */
  revision: number;
  /** When it last changed: milliseconds since 1970. */
  updated_at: number;
  /** How many lines its log has. */
  log_lines: number;
};

/** Where a job's log is, and how much of it counts. */
export interface JobLog {
  /** Null as long as no line was written. */
  readonly file: string | null;
  readonly bytes: number;
  readonly lines: number;
}

export type Fields = Readonly<Record<string, unknown>>;

/** A job between two changes. Nothing in it is ever changed in place, nor handed out. */
export interface JobState {
  readonly id: string;
  readonly revision: number;
  readonly updatedAt: number;
  readonly fields: Fields;
  readonly log: JobLog;
}

/** Lines of a log, the last one first. */
export interface NewLines {
  readonly encoded: string;
  readonly before: NewLines | null;
}

/** A job that is being changed: its state, and the lines that its log does not hold yet. */
export interface JobDraft {
  readonly job: JobState | null;
  readonly lines: NewLines | null;
}

/** What the store itself says of a job. */
const ownNames: ReadonlySet<string> = new Set([
  ...['id', 'logs', 'log_lines', 'revision', 'updated_at'],
]);
const newStatus = 'processing';
/** In UTF-8 no more than what a reader takes, 64 MiB. */
const maxFieldsLength = 16 * 1024 * 1024;
/** JSON.stringify() calls itself for each level: a depth that fits on every stack. */
const maxDepth = 1000;

// ---- Changes --------------------------------------------------------------------------------------

/** A copy of a patch, so that what its owner does to it later is nothing to the job. */
export type FieldChanges = readonly (readonly [name: string, value: unknown])[];

export function toFieldChanges(patch: unknown): FieldChanges {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
    throw new TypeError(`a patch must be an object of fields, got ${show(patch)}`);
  }
  refusePromise('a patch', patch);
  return Object.entries(patch).map(([name, value]) => {
    if (ownNames.has(name)) {
      throw new TypeError(`field '${name}' is the store's own and cannot be set`);
    }
    return [name, value === undefined ? undefined : jsonCopy(name, value)] as const;
  });
}

export const validateResult = "what option 'validate' returns";

/** Throws a TypeError for a promise, which a caller of a synchronous function would take for an answer. */
export function refusePromise(what: string, value: unknown): void {
  if (!isThenable(value)) return;
  // Nothing else handles its rejection.
  value.then(undefined, () => undefined);
  throw new TypeError(`${what} must not be a promise: other jobs would wait for it`);
}

function jsonCopy(name: string, value: unknown): unknown {
  const text = toJson(name, value);
  if (text === undefined) {
    throw new TypeError(`field '${name}' must be a value of JSON, got ${show(value)}`);
  }
  const copy = JSON.parse(text) as unknown;
  checkDepth(name, copy);
  return copy;
}

/** Despite its type JSON.stringify() has no text for functions and symbols. */
function toJson(name: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    // The stack has overflowed; a cycle is a TypeError.
    throw cause instanceof RangeError ? tooDeep(name, cause) : cause;
  }
}

/** Throws a RangeError if the field is nested so deep that copying it could overflow the stack. Does not recurse itself. */
function checkDepth(name: string, value: unknown): void {
  let level = objectsIn([value]);
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === maxDepth) throw tooDeep(name);
    level = level.flatMap(objectsIn);
  }
}

function objectsIn(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).filter((inner) => typeof inner === 'object' && inner !== null);
}

function tooDeep(name: string, cause?: unknown): RangeError {
  return new RangeError(`field '${name}' must be nested at most ${maxDepth} levels deep`, {
    cause,
  });
}

/** The draft after one change; the job is made if there is none. */
export function changeJob(
  draft: JobDraft,
  id: string,
  changes: FieldChanges,
  lines: readonly string[],
): JobDraft {
  const { job } = draft;
  const log = job?.log ?? { file: null, bytes: 0, lines: 0 };
  const revision = (job?.revision ?? 0) + 1;
  if (!Number.isSafeInteger(revision)) {
    throw new RangeError(`job ${show(id)} has no revision left; remove it to begin again at 1`);
  }
  return {
    job: {
      id,
      revision,
      // A clock that was set back does not make a job older than it was.
      updatedAt: Math.max(Date.now(), job?.updatedAt ?? 0),
      fields: changeFields(id, job?.fields ?? { status: newStatus }, changes),
      log: {
        file: log.file,
        bytes: lines.reduce((bytes, line) => bytes + Buffer.byteLength(line), log.bytes),
        lines: log.lines + lines.length,
      },
    },
    lines: lines.reduce<NewLines | null>((before, encoded) => ({ encoded, before }), draft.lines),
  };
}

function changeFields(id: string, fields: Fields, changes: FieldChanges): Fields {
  if (changes.length === 0) return fields;
  const changed = new Map(Object.entries(fields));
  for (const [name, value] of changes) {
    if (value === undefined) changed.delete(name);
    else changed.set(name, value);
  }
  const result = Object.fromEntries(changed);
  checkFields(result);
  checkSize(id, result);
  return result;
}

/** Throws unless the fields that a file holds could have been written. */
export function checkStoredFields(fields: Fields): void {
  for (const [name, value] of Object.entries(fields)) checkDepth(name, value);
  checkFields(fields);
}

/** Throws unless the fields that every job may have are what they should be. */
function checkFields({ status, progress_pct: progress }: Fields): void {
  if (typeof status !== 'string') {
    throw new TypeError(`field 'status' must be a string, got ${show(status)}`);
  }
  if (progress === undefined) return;
  if (typeof progress !== 'number') {
    throw new TypeError(`field 'progress_pct' must be a number, got ${show(progress)}`);
  }
  if (!(progress >= 0 && progress <= 100)) {
    throw new RangeError(`field 'progress_pct' must be from 0 to 100, got ${progress}`);
  }
}

/** Throws a RangeError for a job that no reader would take. */
function checkSize(id: string, fields: Fields): void {
  const { length } = JSON.stringify(fields);
  if (length <= maxFieldsLength) return;
  throw new RangeError(
    `the fields of job ${show(id)} must be at most ${maxFieldsLength} characters of JSON, got ${length}`,
  );
}

// ---- What callers get -----------------------------------------------------------------------------

export function toStoredJob<Job extends JobFields>(state: JobState): StoredJob<Job> {
  return {
    ...copyOfFields(state),
    id: state.id,
    revision: state.revision,
    updated_at: state.updatedAt,
    log_lines: state.log.lines,
  } as unknown as StoredJob<Job>;
}

export function copyOfFields({ fields }: JobState): Record<string, unknown> {
  return JSON.parse(JSON.stringify(fields)) as Record<string, unknown>;
}
