import { renameSync, rmSync } from 'node:fs';

import { has } from './capabilities.js';

let taken = 0;

/**
 * Takes the name of a file away while somebody has it open: removes it, or, where the name stays until they close it, renames
 * it to one that begins like it.
 */
export function takeAway(file: string): void {
  if (has('unlinkOpenFiles')) rmSync(file);
  else renameSync(file, `${file}.taken-${taken++}`);
}
