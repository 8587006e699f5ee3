/** The rounds of changes to one job: one lock, one write to its log and one replace of its state for all of them. */
import { join } from 'node:path';
import type { FileLock } from '../file-lock.js';
import { toRequest, type LockRequest } from '../options.js';
import { replaceFile, type ReplaceFailure } from '../replace.js';
import type { RoundWork } from '../rounds.js';
import { removeFile } from '../remove-file.js';
import { readState } from './files.js';
import { stateText } from './format.js';
import { bytesOf, writeTail } from './log.js';
import { logNameOf, type JobPlace } from './names.js';
import type { JobStoreSettings } from './options.js';
import {
  copyOfFields,
  refusePromise,
  validateResult,
  type JobDraft,
  type JobState,
  type NewLines,
} from './state.js';

export type JobChange = (draft: JobDraft) => JobDraft;

export class JobWork implements RoundWork<JobDraft, JobChange, JobDraft> {
  readonly lock: LockRequest;
  /** Changes are quick and many: one for each line of a log. */
  readonly maxCalls = 1024;
  /** Nobody changes a job without its lock, so that nothing is compared. */
  readonly retry = 0;
  readonly #settings: JobStoreSettings;
  readonly #place: JobPlace;

  constructor(settings: JobStoreSettings, place: JobPlace) {
    this.#settings = settings;
    this.#place = place;
    this.lock = toRequest('lock', place.lockTarget, settings.lock);
  }

  async read(): Promise<JobDraft> {
    return { job: await readState(this.#settings, this.#place), lines: null };
  }

  apply(change: JobChange, draft: JobDraft): JobDraft {
    const changed = change(draft);
    const { job } = changed;
    if (job !== null && job.fields !== draft.job?.fields) {
      refusePromise(validateResult, this.#settings.validate?.(copyOfFields(job)));
    }
    return changed;
  }

  /**
   * The log first, the state that counts its lines last: whenever this ends early, the job is as it was. An old log goes when
   * no state names it any more.
   */
  async commit(after: JobDraft, before: JobDraft, held: FileLock): Promise<void> {
    const oldLog = before.job?.log.file ?? null;
    const newLog = after.job === null ? null : await this.#commitJob(after.job, after.lines, held);
    if (after.job === null) {
      held.verify();
      // From here on the job is gone, whatever becomes of its log.
      await removeFile(this.#place.statePath, null, this.#settings.read);
    }
    if (oldLog !== null && oldLog !== newLog) await this.#removeLog(oldLog);
  }

  toResult(own: JobDraft): JobDraft {
    return own;
  }

  /** Resolves with the name of the job's log. */
  async #commitJob(job: JobState, lines: NewLines | null, held: FileLock): Promise<string | null> {
    const { log } = job;
    if (lines === null) {
      await this.#replaceState(job, held);
      return log.file;
    }
    const bytes = bytesOf(lines);
    if (log.file === null) return this.#beginLog(job, bytes, held);
    held.verify();
    await writeTail(this.#settings, this.#pathOf(log.file), log.bytes - bytes.length, bytes);
    await this.#replaceState(job, held);
    return log.file;
  }

  async #beginLog(job: JobState, bytes: Buffer, held: FileLock): Promise<string> {
    const file = this.#newLogName(held);
    const options = { ...this.#settings.replace, createOnly: true, lock: held };
    await replaceFile(this.#pathOf(file), bytes, options);
    try {
      await this.#replaceState({ ...job, log: { ...job.log, file } }, held);
    } catch (error) {
      const { targetState = 'old' } = error as Partial<ReplaceFailure>;
      const isNamed = targetState === 'new' || targetState === 'unknown';
      if (!isNamed) await this.#removeLog(file);
      throw error;
    }
    return file;
  }

  async #replaceState(job: JobState, held: FileLock): Promise<void> {
    const options = { ...this.#settings.replace, lock: held };
    await replaceFile(this.#place.statePath, stateText(job), options);
  }

  /** A log that no state names is in nobody's way: where it cannot be removed now, prune() tries again. */
  async #removeLog(file: string): Promise<void> {
    await removeFile(this.#pathOf(file), null, this.#settings.read).catch(() => undefined);
  }

  /** No two are alike, since no two grants are. */
  #newLogName(held: FileLock): string {
    return logNameOf(this.#place.name, held.token ?? 0);
  }

  #pathOf(file: string): string {
    return join(this.#place.directory, file);
  }
}
