/** A store of jobs: each change of a job is one commit under a lock, and reading needs none. */
import { currentNesting } from './nesting.js';
import { checkArgumentCount } from './option-checks.js';
import { join } from 'node:path';
import { HoldfastError } from './errors.js';
import { isAboutFile, listFiles, openStore, readState, readStateUnlocked } from './jobs/files.js';
import { encodeLine, missingLog, readLines } from './jobs/log.js';
import {
  idOfName,
  jobNameOfLog,
  jobNameOfState,
  placeOfId,
  placeOfName,
  toJobId,
  type JobPlace,
} from './jobs/names.js';
import {
  toChangeSignal,
  toFirstLine,
  toListOptions,
  toPruneOptions,
  toSettings,
  toUpdateSettings,
  type JobChangeOptions,
  type JobListOptions,
  type JobPruneOptions,
  type JobReadOptions,
  type JobStoreOptions,
  type JobStoreSettings,
  type JobUpdateOptions,
} from './jobs/options.js';
import { JobWork, type JobChange } from './jobs/round.js';
import {
  changeJob,
  toFieldChanges,
  toStoredJob,
  type JobDraft,
  type JobFields,
  type JobPatch,
  type JobState,
  type StoredJob,
} from './jobs/state.js';
import { changeUnderLock } from './lock.js';
import type { WithLockOptions } from './options.js';
import { removeFile } from './remove-file.js';
import { copyOfError } from './round-call.js';
import { RoundGroups } from './rounds.js';

/** A job with the lines of its log. */
export type JobWithLogs<Job extends JobFields> = StoredJob<Job> & { logs: string[] };

/**
 * Gets the job, null when there is none, and a function that adds a line to its log; returns the fields to change. One that
 * returns undefined and has added no line leaves the job alone. It must not be asynchronous: other jobs may wait.
 */
export type JobFunction<Job extends JobFields> = (
  current: StoredJob<Job> | null,
  appendLog: (line: string) => void,
) => JobPatch<Job> | undefined;

const noJob: JobDraft = { job: null, lines: null };

/**
 * Jobs in a directory, each with fields (`status`, `progress_pct`, `result` and what `Job` adds) and a log of lines.
 *
 * Several processes may use one directory. A change takes a kernel lock (one of 64, whichever the job's id leads to), and
 * commits all that it changes at once; concurrent changes of one job in one thread share lock and commit. Reading takes no lock
 * and never sees half of a change. What a change costs grows neither with the number of jobs nor with the length of
 * logs. Ids may be any text: distinct ones never share a file, and none leads out of the directory, which is made when the first
 * change needs it.
 *
 * Changes reject with what `lock` and `replaceFile` reject with: ETIMEDOUT after 30 seconds by default, the system's error
 * (ENOSPC, EACCES, …), a refusal; then the job is as it was. A file that is damaged, or not the store's, is ECORRUPT with
 * its `path`, and is never written to.
 *
 * @see [Jobs](../docs/job-store.md)
 */
export class JobStore<Job extends JobFields = JobFields & Record<string, unknown>> {
  readonly #settings: JobStoreSettings;
  readonly #groups = new RoundGroups<JobDraft, JobChange, JobDraft>();
  #opened: Promise<void> | null = null;

  constructor(directory: string | URL, options?: JobStoreOptions) {
    checkArgumentCount('JobStore', arguments.length, 2);
    this.#settings = toSettings(directory, options);
  }

  /** Absolute path of the directory. */
  get directory(): string {
    return this.#settings.directory;
  }

  /**
   * Changes fields of a job, making it with `status: 'processing'` if there is none; `log` adds lines in the same commit.
   * A field that the patch does not name stays; one that it sets to undefined is removed.
   *
   * Resolves with the job as this change has left it, null when a function has left an absent one alone. Rejects with
   * ECONFLICT (`ifRevision`), the error of a function or of `validate`, `signal.reason`; each drops this change only.
   */
  async update(
    id: string,
    patch: JobPatch<Job>,
    options?: JobUpdateOptions,
  ): Promise<StoredJob<Job>>;
  async update(
    id: string,
    fn: JobFunction<Job>,
    options?: JobUpdateOptions,
  ): Promise<StoredJob<Job> | null>;
  async update(
    id: string,
    patchOrFunction: JobPatch<Job> | JobFunction<Job>,
    options?: JobUpdateOptions,
  ): Promise<StoredJob<Job> | null> {
    checkArgumentCount('store.update', arguments.length, 3);
    const place = this.#placeOf(id);
    const { signal, lines, ifRevision } = toUpdateSettings(options);
    const encoded = lines.map(encodeLine);
    const patch = typeof patchOrFunction === 'function' ? null : toFieldChanges(patchOrFunction);
    const { job } = await this.#change(place, signal, (draft) => {
      if (ifRevision !== undefined) expectRevision(draft, ifRevision, place);
      if (patch !== null) return changeJob(draft, id, patch, encoded);
      const current = draft.job === null ? null : toStoredJob<Job>(draft.job);
      const { returned, added } = callJobFunction(patchOrFunction as JobFunction<Job>, current);
      if (returned === undefined && added.length === 0) return draft;
      return changeJob(draft, id, returned === undefined ? [] : toFieldChanges(returned), [
        ...added,
        ...encoded,
      ]);
    });
    return job === null ? null : toStoredJob<Job>(job);
  }

  /**
   * Adds a line to a job's log and, with `progress`, sets `progress_pct`, in one commit; makes the job if there is none.
   * Resolves with the revision that has the line.
   */
  async appendLog(
    id: string,
    line: string,
    progress?: number,
    options?: JobChangeOptions,
  ): Promise<number> {
    checkArgumentCount('store.appendLog', arguments.length, 4);
    const place = this.#placeOf(id);
    const signal = toChangeSignal('appendLog', options);
    const encoded = [encodeLine(line)];
    const patch = progress === undefined ? [] : [['progress_pct', progress] as const];
    const { job } = await this.#change(place, signal, (draft) =>
      changeJob(draft, id, patch, encoded),
    );
    return job?.revision ?? 0;
  }

  /**
   * The job as it was last committed, without waiting for anybody; null when there is none. The lines of its log are those
   * that this revision counts. Rejects with ECORRUPT for what is no job.
   */
  async read(id: string, options: { logs: false }): Promise<StoredJob<Job> | null>;
  async read(id: string, options?: JobReadOptions): Promise<JobWithLogs<Job> | null>;
  async read(
    id: string,
    options?: JobReadOptions,
  ): Promise<StoredJob<Job> | JobWithLogs<Job> | null> {
    checkArgumentCount('store.read', arguments.length, 2);
    const place = this.#placeOf(id);
    const toFirst = toFirstLine(options);
    let missing: string | null = null;
    for (;;) {
      const state = await readStateUnlocked(this.#settings, place);
      if (state === null) return null;
      const job = toStoredJob<Job>(state);
      if (toFirst === null) return job;
      const logs = await readLines(this.#settings, place, state.log, toFirst(state.log.lines));
      if (logs !== null) return { ...job, logs };
      // No wonder that it is gone if the job was removed meanwhile: then the next look finds none, or another log.
      if (state.log.file === missing) throw await missingLog(this.#settings, place, state.log);
      missing = state.log.file;
    }
  }

  /** The ids of all jobs, sorted. Rejects with ECORRUPT for a file that hides its job's id, but see `onCorrupt`. */
  async list(options?: JobListOptions): Promise<string[]> {
    checkArgumentCount('store.list', arguments.length, 1);
    const { onCorrupt } = toListOptions('list', options);
    const ids: string[] = [];
    for (const name of jobNamesIn(await listFiles(this.#settings))) {
      const id = idOfName(name);
      if (id !== null) {
        ids.push(id);
        continue;
      }
      try {
        const state = await readStateUnlocked(this.#settings, placeOfName(this.directory, name));
        if (state !== null) ids.push(state.id);
      } catch (error) {
        if (onCorrupt === undefined || !isAboutFile(error)) throw error;
        onCorrupt(error);
      }
    }
    return ids.sort();
  }

  /** Removes a job and its log; false when there is none. Revisions of a job that is made later begin again at 1. */
  async remove(id: string, options?: JobChangeOptions): Promise<boolean> {
    checkArgumentCount('store.remove', arguments.length, 2);
    const place = this.#placeOf(id);
    return this.#removeIf(place, toChangeSignal('remove', options), () => true);
  }

  /**
   * Removes the jobs that have not changed for `olderThan` milliseconds, whatever their status, and logs that a crash has left
   * without a job. Resolves with the ids of those removed. Goes on with the others when a file is damaged or foreign, and
   * rejects with the first ECORRUPT at the end, but see `onCorrupt`.
   */
  async prune(options: JobPruneOptions<Job>): Promise<string[]> {
    checkArgumentCount('store.prune', arguments.length, 1);
    const { olderThan, filter, onCorrupt } = toPruneOptions<Job>(options);
    const isOld = (state: JobState): boolean =>
      Date.now() - state.updatedAt > olderThan && filter(toStoredJob<Job>(state));
    const removed: string[] = [];
    const damaged: HoldfastError[] = [];
    const report = (error: unknown): void => {
      if (!isAboutFile(error)) throw error;
      damaged.push(error);
      onCorrupt?.(error);
    };
    // Listed before the states are read: a log that is begun later is not among these.
    const files = await listFiles(this.#settings);
    const unnamed = new Set(files.filter((file) => jobNameOfLog(file) !== null));
    for (const name of jobNamesIn(files)) {
      const place = placeOfName(this.directory, name);
      try {
        const state = await readStateUnlocked(this.#settings, place);
        if (state === null) continue;
        if (state.log.file !== null) unnamed.delete(state.log.file);
        if (isOld(state) && (await this.#removeIf(place, undefined, isOld))) removed.push(state.id);
      } catch (error) {
        report(error);
        for (const log of unnamed) if (jobNameOfLog(log) === name) unnamed.delete(log);
      }
    }
    for (const log of unnamed) await this.#removeUnnamed(log).catch(report);
    const [first] = damaged;
    if (first !== undefined && onCorrupt === undefined) throw first;
    return removed;
  }

  #placeOf(id: unknown): JobPlace {
    return placeOfId(this.directory, toJobId(id));
  }

  async #change(
    place: JobPlace,
    signal: AbortSignal | undefined,
    change: JobChange,
  ): Promise<JobDraft> {
    const opened = (this.#opened ??= openStore(this.#settings));
    // All that wait for the first change to open the store fail with it, each with an error object of its own.
    await opened.catch((error: unknown) => {
      this.#reopen(opened);
      throw copyOfError(error);
    });
    signal?.throwIfAborted();
    const toWork = () => new JobWork(this.#settings, place);
    const { onWait } = this.#settings.lock;
    try {
      return await this.#groups.join(place.name, toWork, change, {
        ...{ signal, onWait },
        nesting: currentNesting(),
      });
    } catch (error) {
      // The directory may have been removed.
      if ((error as NodeJS.ErrnoException).syscall !== undefined) this.#reopen(opened);
      throw error;
    }
  }

  /** Makes the next change open the store, unless another one does already. */
  #reopen(opened: Promise<void>): void {
    if (this.#opened === opened) this.#opened = null;
  }

  async #removeIf(
    place: JobPlace,
    signal: AbortSignal | undefined,
    isMeant: (state: JobState) => boolean,
  ): Promise<boolean> {
    let existed = false;
    await this.#change(place, signal, (draft) => {
      existed = draft.job !== null && isMeant(draft.job);
      return existed ? noJob : draft;
    });
    return existed;
  }

  /** Under the lock nobody is between beginning a log and naming it. */
  async #removeUnnamed(log: string): Promise<void> {
    const place = placeOfName(this.directory, jobNameOfLog(log) ?? '');
    const options: WithLockOptions = { ...this.#settings.lock, nested: 'wait' };
    await changeUnderLock(place.lockTarget, options, async (held) => {
      const state = await readState(this.#settings, place);
      if (state?.log.file === log) return;
      held.verify();
      await removeFile(join(this.directory, log), null, this.#settings.read);
    });
  }
}

function callJobFunction<Job extends JobFields>(
  fn: JobFunction<Job>,
  current: StoredJob<Job> | null,
): { returned: JobPatch<Job> | undefined; added: string[] } {
  const added: string[] = [];
  let isRunning = true;
  const appendLog = (line: string): void => {
    if (!isRunning) {
      throw new TypeError(
        'appendLog was called after the job function had returned, when its lines were already ' +
          'committed; call the appendLog of the store instead',
      );
    }
    added.push(encodeLine(line));
  };
  try {
    return { returned: fn(current, appendLog), added };
  } finally {
    isRunning = false;
  }
}

function jobNamesIn(files: readonly string[]): string[] {
  return files.map(jobNameOfState).filter((name) => name !== null);
}

function expectRevision({ job }: JobDraft, expected: number, place: JobPlace): void {
  const revision = job?.revision ?? 0;
  if (revision === expected) return;
  const message = `the job is at revision ${revision}, not ${expected}, '${place.statePath}'`;
  throw new HoldfastError('ECONFLICT', message, { path: place.statePath });
}
