import { expect } from 'vitest';

import { outcomeOf } from './failing-replaces.js';
import type { LockfileAgent, Whose } from './lockfile-agent.js';

/** A process locks and releases by the drop-in while its system calls fail, beside others that want the lock afterwards. */
export interface FailingLockfile {
  pid: number;
  run: () => Promise<void>;
  /** Looks at whom an attempt keeps out, which has to be nobody, and names what came of it. */
  outcome: (value: unknown, where: string) => Promise<string>;
}

export async function failingLockfile(
  start: (whose: Whose) => Promise<LockfileAgent>,
  file: string,
): Promise<FailingLockfile> {
  const [agent, ours, theirs] = [await start('ours'), await start('ours'), await start('theirs')];
  const options = { realpath: false };
  let wasLocked = false;
  const take = async (by: LockfileAgent, where: string) => {
    const number = await outcomeOf(by.lock(file, options));
    expect(number, where).toEqual(expect.any(Number));
    await by.release(Number(number));
  };
  return {
    pid: agent.child.pid,
    run: async () => {
      wasLocked = false;
      const number = await agent.lock(file, options);
      wasLocked = true;
      await agent.release(number);
    },
    outcome: async (value, where) => {
      const failed = value instanceof Error;
      if (failed) expect(value, where).toMatchObject({ code: expect.any(String) as unknown });
      // A directory that could not be removed is there until it is stale for those who go by it alone, and nothing to ours.
      if (wasLocked) await take(ours, where);
      await take(theirs, where);
      if (!failed) return 'done';
      return wasLocked ? 'error in release' : 'error in lock';
    },
  };
}
