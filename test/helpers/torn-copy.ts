import { expect } from 'vitest';

import type { ChildOptions } from './child.js';
import type { LockAgents } from './lock-agents.js';
import { withFaults } from './system-call-faults.js';

/** Contents of several blocks, which differ in each byte. */
export const before = Buffer.alloc(20_000, 'old bytes ');
export const after = Buffer.alloc(30_000, 'NEW BYTES ');

/** Lets a process copy `after` into `file` and kills it in the middle: the file is torn, with its undo file beside it. */
export async function tearByCopy(
  agents: LockAgents,
  file: string,
  options: { journalDir?: string; mode?: number } = {},
  process: ChildOptions = {},
): Promise<void> {
  const agent = await agents.process(process);
  // The sixth write is the second one to the file: those before are the temporary file's, and three of the undo file's.
  await withFaults(agents.children, agent.pid, ['pwrite64:signal=KILL:when=6'], async () => {
    void agent
      .replaceFile(file, after, { copyFallback: 'always', ...options })
      .catch(() => undefined);
    expect(await agent.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
  });
}
