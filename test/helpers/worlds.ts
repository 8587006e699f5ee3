import { has } from './capabilities.js';
import type { ChildOptions } from './child.js';
import { withoutUnnamedFiles } from './unnamed-files.js';

/** Options of processes that make files without names before they publish them, and of others that cannot. */
export const worlds: { world: string; options: ChildOptions }[] = [
  { world: 'with unnamed files', options: {} },
  ...(has('withoutUnnamedFiles')
    ? [{ world: 'without unnamed files', options: withoutUnnamedFiles() }]
    : []),
];
