/** The files of a job store, but for the logs. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, toError } from '../errors.js';
import { native } from '../native.js';
import { readRegularFile } from '../read-file.js';
import { replaceFile } from '../replace.js';
import { corrupt, parseState } from './format.js';
import { markerName, type JobPlace } from './names.js';
import type { JobStoreSettings } from './options.js';
import { copyOfFields, refusePromise, validateResult, type JobState } from './state.js';

const storeVersion = 1;
const markerText = `${JSON.stringify({ holdfast_job_store: storeVersion })}\n`;

/** Makes the directory a store, if it is none: all who use it have to agree on its locks and files. */
export async function openStore(settings: JobStoreSettings): Promise<void> {
  const path = join(settings.directory, markerName);
  if (await isStore(settings, path)) return;
  try {
    await replaceFile(path, markerText, {
      ...settings.replace,
      createOnly: true,
      recursive: true,
      dirMode: settings.directoryMode,
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await isStore(settings, path);
  }
}

async function isStore(settings: JobStoreSettings, path: string): Promise<boolean> {
  const found = await unlessAbsent(readRegularFile(path, settings.read));
  if (found === null) return false;
  if (found.contents.toString() === markerText) return true;
  throw corrupt(path, 'the directory is a job store of another version, or none');
}

/** The job as its state file has it; null when there is none. */
export async function readState(
  settings: JobStoreSettings,
  place: JobPlace,
): Promise<JobState | null> {
  const { statePath, name } = place;
  const found = await unlessAbsent(readRegularFile(statePath, settings.read));
  if (found === null) return null;
  const state = parseState(found.contents, name, statePath);
  let returned: unknown;
  try {
    returned = settings.validate?.(copyOfFields(state));
  } catch (cause) {
    throw corrupt(statePath, 'a job is not valid', cause);
  }
  refusePromise(validateResult, returned);
  return state;
}

/**
 * Milliseconds after which a state that is not there is looked for again. On Windows a file that is replaced while somebody
 * has it open may lose its name for a moment, which is not to be taken for the job's end.
 */
const looksAgain = process.platform === 'win32' ? [1, 2, 4, 8, 16] : [];

/** {@link readState} without the lock. */
export async function readStateUnlocked(
  settings: JobStoreSettings,
  place: JobPlace,
): Promise<JobState | null> {
  let state = await readState(settings, place);
  for (const delay of looksAgain) {
    if (state !== null) break;
    await sleep(delay);
    state = await readState(settings, place);
  }
  return state;
}

/** The names of all files; none when there is no directory. */
export async function listFiles(settings: JobStoreSettings): Promise<string[]> {
  return (await unlessAbsent(listNames(settings))) ?? [];
}

async function listNames(settings: JobStoreSettings): Promise<string[]> {
  const listing = await native.listNames(settings.directory, settings.refuseParentLinks);
  if (!listing.ok) throw toError(listing.error);
  return listing.names;
}

/** Whether an error is about one file, which others need not suffer for. */
export function isAboutFile(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && (error.code === 'ECORRUPT' || error.refused);
}

async function unlessAbsent<Result>(reading: Promise<Result>): Promise<Result | null> {
  try {
    return await reading;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
