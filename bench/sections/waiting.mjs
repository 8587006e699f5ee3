// One process with many callers for a lock that another one holds (sections D and G).
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { inNode, start } from '../processes.mjs';

/** Milliseconds that reads may take while callers wait, and the callers after the release. */
const longest = 10_000;

export async function measureWaiters(candidate, directory, { waiters, reads, idle }) {
  const target = path.join(directory, 'target');
  const file = path.join(directory, 'file');
  writeFileSync(file, Buffer.alloc(4096));
  const holder = start(inNode('holder', { candidate, target }), { limit: 4 * longest });
  const limit = { limit: longest };
  let program;
  try {
    await holder.line();
    const request = { candidate, target, file, waiters, reads, idle };
    program = start(inNode('waiters', request, '--expose-gc'), limit);
    await program.line().catch(async (error) => {
      throw new Error(
        `reads of other files did not end while ${waiters} callers waited: ${error.message}`,
      );
    });
    holder.send('release');
    const figures = await program.result().catch((error) => {
      throw new Error(`${waiters} callers did not all get the lock: ${error.message}`);
    });
    if (figures.mostHolders > 1) {
      throw new Error(`${figures.mostHolders} callers of one process had the lock at once`);
    }
    return figures;
  } finally {
    for (const each of [holder, program]) {
      each?.kill();
      each?.ended.catch(() => {});
    }
  }
}
