import { mkdir, symlink } from 'node:fs/promises';
import path from 'node:path';

import { withAgentInDirectory } from './agent-in-directory.js';
import type { ProcessAgent } from './lock-agents.js';
import { makeFile } from './replaced-file.js';
import { giveTo } from './users.js';
import type { users } from './users.js';

/**
 * Hands `use` a directory in which `real/data` holds "precious", and an agent who is `identity`, to whom all of it is given
 * when `prepare` has added to it. `prefix` is put before the agent's command line.
 */
export async function withPreciousFile(
  identity: (typeof users)[number]['identity'],
  prepare: (directory: string) => Promise<void>,
  use: (directory: string, agent: ProcessAgent) => Promise<void>,
  prefix: readonly string[] = [],
): Promise<void> {
  await withAgentInDirectory(
    identity,
    async (directory, agent) => {
      await mkdir(path.join(directory, 'real'));
      await makeFile(path.join(directory, 'real', 'data'), 'precious');
      await prepare(directory);
      await giveTo(identity, directory);
      await use(directory, agent);
    },
    prefix,
  );
}

/** For `prepare`: makes symbolic links by name. */
export function makeLinks(links: Record<string, string>) {
  return async (directory: string): Promise<void> => {
    for (const [name, target] of Object.entries(links)) {
      await symlink(target, path.join(directory, name));
    }
  };
}

/** What an error says whose replace changed nothing, and what a refusal says. */
export const intact = { published: false, targetState: 'old' } as const;
export const refused = { ...intact, name: 'HoldfastError', refused: true } as const;
