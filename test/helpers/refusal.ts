import { expect } from 'vitest';

import type { HoldfastErrorCode, TryLockOptions } from 'holdfast';
import type { AgentOptions, LockAgent } from './lock-agent.js';

export const allForms = [
  'lock',
  'lockSync',
  'tryLock',
  'tryLockSync',
  'withLock',
  'withLockSync',
] as const;

/** Asserts that every form, shared and exclusive, and inspectLock refuse the lock file, with this code and the path that is to blame. */
export async function expectRefusals(
  agent: LockAgent,
  target: string,
  options: AgentOptions<TryLockOptions>,
  expected: { code: HoldfastErrorCode; path: string },
): Promise<void> {
  for (const form of allForms) {
    for (const shared of [false, true]) {
      await expect(
        agent[form](target, { ...options, shared }),
        `${form}, shared: ${shared}`,
      ).rejects.toMatchObject({ name: 'HoldfastError', refused: true, ...expected });
    }
  }
  const { links, parents, lockPath } = options;
  await expect(
    agent.inspectLock(target, { links, parents, lockPath }),
    'inspectLock',
  ).rejects.toMatchObject({ name: 'HoldfastError', refused: true, ...expected });
}
