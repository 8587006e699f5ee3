import type { ChildOptions } from './child.js';
import { withLockAgents } from './lock-agents.js';
import type { LockAgents, ProcessAgent } from './lock-agents.js';

/** What a file holds before a replace that fails, and what it would hold after it. */
export const oldContents = 'old bytes '.repeat(800);
export const newContents = 'NEW BYTES '.repeat(1600);

/** What every failure before publishing says. */
export const intact = { published: false, targetState: 'old' } as const;

/** Hands `use` a process that was started with these options. */
export async function withAgent(
  use: (agent: ProcessAgent, agents: LockAgents) => Promise<void>,
  options: ChildOptions = {},
): Promise<void> {
  await withLockAgents(async (agents) => use(await agents.process(options), agents));
}

/** What the call came to, be it an error. */
export async function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: unknown) => error);
}
