/** Files of a session: its id is untrusted, and becomes a name that cannot lead anywhere else. */
import { sep } from 'node:path';
import { HoldfastError } from './errors.js';
import { realPath } from './links.js';
import { changeUnderLock } from './lock.js';
import { checkArgumentCount, checkNames, toSignal, toTimeout } from './option-checks.js';
import { toPath } from './path.js';
import { readRegularFile } from './read-file.js';
import { replaceFile } from './replace.js';
import { safeFileName } from './sanitize.js';
import { defaultTimeout } from './replace-options.js';

/**
 * The path of a session's own file or directory in the directory `root`: `root` joined to `safeFileName(sessionId)`. It
 * is directly inside of `root`, and another one for every id; what is no id (`''`, null, what is not a string) has one
 * path, too. Nothing is looked up: what lies there, a link perhaps, is to be judged by whoever opens it.
 */
export function safeSessionPath(root: string | URL, sessionId: unknown): string {
  checkArgumentCount('safeSessionPath', arguments.length, 2);
  const directory = toPath('root', root);
  return (directory.endsWith(sep) ? directory : directory + sep) + safeFileName(sessionId);
}

export interface SessionCounterOptions {
  /** Milliseconds for which the lock is waited for. @default 30000 */
  timeout?: number | undefined;
  /** Ends the wait, and the count up to the moment of its change; rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

const counterNames = new Set(['timeout', 'signal']);
const counterName = 'count';
/** A number and a line feed. */
const longestCounter = 17;

/**
 * Adds one to a session's counter and resolves with the new value: 1 at first. No two calls, in whichever processes, get
 * the same value.
 *
 * The counter is the file `count` (mode 0600) in the directory `safeSessionPath(root, sessionId)`, which is made with mode
 * 0700 when it is not there; `root` must exist. Whatever the id, nothing outside of `root` is read or written: a session's
 * directory or a counter that is a link is refused with ELOOP, also one that is put there meanwhile. A counter that holds
 * something else is ECORRUPT. Otherwise rejects with what `lock`, `readRegularFile` and `replaceFile` reject with.
 */
export async function incrementSessionCounter(
  root: string | URL,
  sessionId: unknown,
  options?: SessionCounterOptions,
): Promise<number> {
  checkArgumentCount('incrementSessionCounter', arguments.length, 3);
  const given = checkNames('incrementSessionCounter', options, counterNames);
  const timeout = given.timeout === undefined ? defaultTimeout : toTimeout(given.timeout);
  const signal = given.signal === undefined ? undefined : toSignal(given.signal);
  signal?.throwIfAborted();
  // The way to the root may go through links; from there on none is followed.
  const parents = 'refuse-links';
  const directory = safeSessionPath(await realPath(toPath('root', root)), sessionId);
  const file = `${directory}${sep}${counterName}`;
  return changeUnderLock(directory, { parents, timeout, signal }, async (held) => {
    const value = (await readCounter(file)) + 1;
    await replaceFile(file, `${value}\n`, {
      ...{ parents, signal, lock: held, mode: 0o600, recursive: true, dirMode: 0o700 },
      copyFallback: 'never',
    });
    return value;
  });

  async function readCounter(path: string): Promise<number> {
    let text: string;
    try {
      const read = await readRegularFile(path, { parents, maxBytes: longestCounter });
      if (read === null) return 0;
      text = read.contents.toString('latin1');
    } catch (error) {
      const { code, path: blamed } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' && blamed === directory) return 0;
      if (code !== 'EFBIG') throw error;
      text = '';
    }
    const value = /^[1-9][0-9]*\n$/.test(text) ? Number(text) : NaN;
    if (value < Number.MAX_SAFE_INTEGER) return value;
    throw new HoldfastError('ECORRUPT', `the file holds no count, '${path}'`, { path });
  }
}
