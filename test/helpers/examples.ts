import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { installWithoutAddon, placeAddon } from './installed-copy.js';
import { projectDirectory } from './paths.js';
import { withTemporaryDirectory } from './temporary-directory.js';

/** Hands `use` a copy of the example `name`, in which holdfast is installed as npm would install it. */
export async function withExample<T>(
  name: string,
  use: (directory: string) => T | Promise<T>,
): Promise<T> {
  return withTemporaryDirectory((parent) => {
    const directory = path.join(parent, name);
    cpSync(path.join(projectDirectory, 'examples', name), directory, {
      recursive: true,
      filter: (file) => path.basename(file) !== 'node_modules',
    });
    placeAddon(installWithoutAddon(directory));
    return use(directory);
  });
}

/** Electron's own program, as its package names it; throws where there is none. */
export function electronProgram(example: string): string {
  return createRequire(path.join(example, 'main.cjs'))('electron') as string;
}
