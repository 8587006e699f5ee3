/** What the files of a job store are called. */
import { join } from 'node:path';
import { show } from '../show.js';
import { safeFileName } from '../sanitize.js';
import { sha256 } from '../sha256.js';

/** So many locks serve all jobs: a lock file for every job there ever was would fill the directory. */
const lockCount = 64;
/** In UTF-16 units. */
export const longestId = 1024;

/** No name of a job has a dot. */
export const markerName = '.job-store.json';

const stateName = /^([a-z0-9_-]{1,64})\.json$/;
const logName = /^([a-z0-9_-]{1,64})\.[0-9]{1,16}\.log$/;

/** Where the files of a job are. */
export interface JobPlace {
  readonly directory: string;
  /** What its files' names begin with. */
  readonly name: string;
  readonly statePath: string;
  /** What is locked to change it, and others with it. */
  readonly lockTarget: string;
}

export function toJobId(id: unknown): string {
  if (typeof id !== 'string') throw new TypeError(`a job's id must be a string, got ${show(id)}`);
  if (id === '') throw new TypeError("a job's id must not be empty, got ''");
  if (id.length > longestId) {
    throw new RangeError(
      `a job's id must have at most ${longestId} characters, got ${id.length} of them`,
    );
  }
  return id;
}

export function placeOfId(directory: string, id: string): JobPlace {
  return placeOfName(directory, safeFileName(id));
}

export function placeOfName(directory: string, name: string): JobPlace {
  const [byte = 0] = sha256(name);
  const lock = (byte % lockCount).toString(16).padStart(2, '0');
  return {
    directory,
    name,
    statePath: join(directory, `${name}.json`),
    lockTarget: join(directory, `jobs-${lock}`),
  };
}

/** The id of the job with this name where the name tells it, else null: the state file does. */
export function idOfName(name: string): string | null {
  return safeFileName(name) === name ? name : null;
}

/** The name of the job that a file is the state of, or null. */
export function jobNameOfState(file: string): string | null {
  return stateName.exec(file)?.[1] ?? null;
}

/** The log of the job `name` that was begun under the lock with this token, which no later one has. */
export function logNameOf(name: string, token: number): string {
  return `${name}.${token}.log`;
}

/** The name of the job that a file is the log of, or null. */
export function jobNameOfLog(file: string): string | null {
  return logName.exec(file)?.[1] ?? null;
}
