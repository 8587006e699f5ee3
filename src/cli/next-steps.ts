/** What the user can do about a failure, where the code says it. */
type NextSteps = Readonly<Record<string, string>>;

const noLocks =
  "The file system there offers no locks: use a file on another one ('holdfast doctor DIR' tries one)";

/** About the place where a file is made, whatever it is for. */
export const stepsOfPlace: NextSteps = {
  EDQUOT: 'The quota of this user is used up: make room',
  ENOLCK: noLocks,
  ENOSPC: 'The file system is full: make room',
  ENOSYS: noLocks,
  EOPNOTSUPP: noLocks,
  EROFS: 'The file system is read-only: use a file on another one',
};

const steps: NextSteps = {
  ...stepsOfPlace,
  EMFILE: "This process may have no more files open: 'ulimit -n' says how many",
  ENFILE: 'The system can have no more files open',
  ENOENT: 'The directory must exist; the file need not',
  ENOTDIR: 'What stands for a directory in that path is a file',
};

export const stepsOfLock: NextSteps = {
  ...steps,
  EACCES:
    'Whoever locks a file must be allowed to write in its directory and to the lock file there',
  ECORRUPT: 'Move what is there away if nobody needs it: holdfast does not write over it',
  ELOOP:
    'Name what the link leads to; if the lock file is the link, holdfast did not make it: remove it',
  EPERM:
    'Whoever locks a file must be allowed to write in its directory and to the lock file there',
  ETIMEDOUT: "'holdfast who FILE' tells who holds a lock; a longer --timeout waits for it",
};

export const stepsOfReplace: NextSteps = {
  ...steps,
  EACCES: 'Whoever replaces a file must be allowed to write in its directory',
  ELOOP: 'Name what the link leads to',
  EMLINK: 'The other names would keep the old contents: remove them, or write a new file',
  EPERM: 'Whoever replaces a file must be allowed to write in its directory',
};
