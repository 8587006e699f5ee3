/** How the state file of a job says what it is. */
import { HoldfastError } from '../errors.js';
import { jobNameOfLog, longestId } from './names.js';
import { safeFileName } from '../sanitize.js';
import { checkStoredFields, type JobLog, type JobState } from './state.js';
import { show } from '../show.js';

const formatVersion = 1;
/** The last moment that a Date can name. */
const greatestTime = 8.64e15;

export function stateText(state: JobState): string {
  return `${JSON.stringify({
    holdfast_job: formatVersion,
    id: state.id,
    revision: state.revision,
    updated_at: state.updatedAt,
    log: state.log,
    fields: state.fields,
  })}\n`;
}

/** The job in a state file. Throws ECORRUPT unless it is one that {@link stateText} wrote for the file `name`. */
export function parseState(contents: Buffer, name: string, path: string): JobState {
  let value: unknown;
  try {
    value = JSON.parse(contents.toString());
  } catch (cause) {
    throw corrupt(path, 'the state of a job is no JSON', cause);
  }
  if (!isObject(value) || !('holdfast_job' in value)) {
    throw corrupt(path, 'the file is not the state of a job');
  }
  const { holdfast_job: version, id, revision, updated_at: updatedAt, log, fields } = value;
  if (version !== formatVersion) {
    throw corrupt(path, `the state of a job has the unknown format ${show(version)}`);
  }
  if (typeof id !== 'string' || id.length > longestId) {
    throw corrupt(path, 'the state of a job lacks its id');
  }
  if (!isCount(revision) || !isCount(updatedAt) || updatedAt > greatestTime) {
    throw corrupt(path, 'the state of a job lacks its revision or time');
  }
  if (safeFileName(id) !== name) throw corrupt(path, `the file is the state of another job`);
  if (!isObject(log) || !isLog(log, name)) throw corrupt(path, 'the state of a job has no log');
  if (!isObject(fields)) throw corrupt(path, 'the state of a job has no fields');
  try {
    checkStoredFields(fields);
  } catch (cause) {
    throw corrupt(path, 'the state of a job has no valid fields', cause);
  }
  return { id, revision, updatedAt, fields, log };
}

export function corrupt(path: string, reason: string, cause?: unknown): HoldfastError {
  const fields = cause === undefined ? { path } : { path, cause };
  return new HoldfastError('ECORRUPT', `${reason}, '${path}'`, fields);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isLog(log: object, name: string): log is JobLog {
  const { file, bytes, lines } = log as Partial<Record<keyof JobLog, unknown>>;
  if (!isCount(bytes) || !isCount(lines) || lines > bytes) return false;
  // Whoever wrote the file must not choose what is read and written next.
  return file === null
    ? bytes === 0 && lines === 0
    : typeof file === 'string' && jobNameOfLog(file) === name;
}
