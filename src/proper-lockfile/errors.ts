/** The errors of proper-lockfile. Programs know them by `code`, and some by the message. */
interface LockfileErrorFields {
  code: 'ELOCKED' | 'ERELEASED' | 'ENOTACQUIRED' | 'ECOMPROMISED';
  /** The resolved path of the file that is locked. */
  file?: string;
}

const failure = (message: string, fields: LockfileErrorFields): Error =>
  Object.assign(new Error(message), fields);

export const lockedError = (file: string): Error =>
  failure('Lock file is already being held', { code: 'ELOCKED', file });

export const releasedError = (): Error =>
  failure('Lock is already released', { code: 'ERELEASED' });

export const notAcquiredError = (): Error =>
  failure('Lock is not acquired/owned by you', { code: 'ENOTACQUIRED' });

/** Somebody else has the lock, or could have it. */
export const robbedError = (): Error =>
  failure('Unable to update lock within the stale threshold', { code: 'ECOMPROMISED' });

/** What kept a lock from being refreshed, under the code that a lost lock has. */
export const compromisedBy = (error: Error): Error =>
  Object.assign(error, { code: 'ECOMPROMISED' });

export const isAbsent = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException).code === 'ENOENT';
