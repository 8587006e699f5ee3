import { setTimeout } from 'node:timers/promises';

import { toError } from '../errors.js';
import { descriptorOf, releaseToHeirs } from '../file-lock.js';
import type { FileLock } from '../index.js';
import { native } from '../native.js';

/** How a command comes to keep a lock: it lasts as long as the command and what that has started. */
export interface HandDown {
  /** What the command is to inherit, if it can inherit anything. */
  readonly descriptor: number | null;
  /** Settles when holdfast need not hold the lock for them any longer; `onWait` is told how many there are still. */
  settled(onWait: (left: number) => void): Promise<void>;
  /** Ends holdfast's own hold. */
  release(): Promise<void>;
}

const lookInterval = 50;

/** To be called before the command is started. */
export function handDown(held: FileLock): HandDown {
  return process.platform === 'win32' ? bind(held) : bequeath(held);
}

/** The command inherits the lock, and whatever it leaves running does. */
function bequeath(held: FileLock): HandDown {
  return {
    descriptor: descriptorOf(held),
    settled: () => Promise.resolve(),
    // An unlock would free it for them as well.
    release: () => {
      releaseToHeirs(held);
      return Promise.resolve();
    },
  };
}

/** No lock can be inherited on Windows: so the command ends with holdfast, and holdfast stays as long as the command. */
function bind(held: FileLock): HandDown {
  const error = native.bindDescendants();
  if (error !== undefined) throw toError(error);
  return {
    descriptor: null,
    async settled(onWait) {
      for (let left = descendants(); left > 0; left = descendants()) {
        onWait(left);
        await setTimeout(lookInterval);
      }
    },
    release: () => held.release(),
  };
}

function descendants(): number {
  const count = native.countDescendants();
  if (typeof count !== 'number') throw toError(count);
  return count;
}
