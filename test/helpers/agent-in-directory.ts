import { withLockAgents } from './lock-agents.js';
import type { LockAgents, ProcessAgent } from './lock-agents.js';
import { withTemporaryDirectory } from './temporary-directory.js';
import type { users } from './users.js';

/** Hands `use` a fresh directory that belongs to `identity`, by default to the user of this run, and an agent that is this user. */
export async function withAgentInDirectory<T>(
  identity: (typeof users)[number]['identity'],
  use: (directory: string, agent: ProcessAgent, agents: LockAgents) => Promise<T>,
  prefix: readonly string[] = [],
): Promise<T> {
  return withTemporaryDirectory(
    async (directory) =>
      withLockAgents(async (agents) =>
        use(directory, await agents.process({ ...identity, prefix }), agents),
      ),
    identity && { owner: identity },
  );
}
