/**
 * A drop-in for proper-lockfile 4: `require('holdfast/proper-lockfile')` is a function with properties, as theirs is, and
 * an ES module imports the same by name. docs/migrating.md says what differs.
 */
import type * as options from './options.js';
import * as verbs from './verbs.js';

const { lock, lockSync, unlock, unlockSync, check, checkSync, getLocks } = verbs;
const functions = { lock, lockSync, unlock, unlockSync, check, checkSync, getLocks };
const lockfile = Object.assign(lock, functions);

// The declarations say what `module.exports` is: a function that is a namespace of types as well.
// eslint-disable-next-line @typescript-eslint/no-namespace
namespace lockfile {
  export type LockOptions = options.LockOptions;
  export type LockSyncOptions = options.LockSyncOptions;
  export type UnlockOptions = options.UnlockOptions;
  export type CheckOptions = options.CheckOptions;
  export type RetryOptions = options.RetryOptions;
}

// Node finds the names that an ES module can import by scanning the text for an assignment like this one, which the next
// line makes undone (cjs-module-lexer).
module.exports = { lock, lockSync, unlock, unlockSync, check, checkSync, getLocks };

export = lockfile;
