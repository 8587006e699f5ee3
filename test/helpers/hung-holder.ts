import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { has } from './capabilities.js';
import type { ProcessAgent } from './lock-agents.js';

/**
 * Makes the event loop of an agent stand still, and hands back how to let it turn again: the process is stopped where the
 * system can do that, else its thread is blocked.
 */
export async function hang(agent: ProcessAgent, directory: string): Promise<() => void> {
  if (has('signals')) {
    agent.kill('SIGSTOP');
    return () => {
      agent.kill('SIGCONT');
    };
  }
  const file = path.join(directory, `end-of-block-${agent.pid}-${process.hrtime.bigint()}`);
  await agent.call('blockUntil', file);
  return () => {
    writeFileSync(file, '');
  };
}
