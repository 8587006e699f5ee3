import path from 'node:path';

import { packageDirectory } from '../load-addon.js';

/** Where a program of the command's own is, which it runs in a process of its own: an entry in rolldown.config.mjs. */
export const programFile = (name: 'demo-writer' | 'doctor-holder'): string =>
  path.join(packageDirectory, 'dist', 'cli', `${name}.js`);
