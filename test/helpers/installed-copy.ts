import { copyFileSync, cpSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { addonFile } from '../../src/load-addon.js';
import { projectDirectory } from './paths.js';

const packageRequire = createRequire(path.join(projectDirectory, 'package.json'));

/** The addon that the tests run on. */
export const addonUnderTest = addonFile(projectDirectory);

/** What node-gyp-build calls this host; a name without a C library fits each. */
export const binaryForThisHost = path.join(
  'prebuilds',
  `${process.platform}-${process.arch}`,
  'holdfast.node',
);

/** Puts the package into `directory`/node_modules, as npm would, but without an addon. Hands back where it is. */
export function installWithoutAddon(directory: string): string {
  const modules = path.join(directory, 'node_modules');
  const location = path.join(modules, 'holdfast');
  mkdirSync(location, { recursive: true });
  for (const name of ['package.json', 'dist']) {
    cpSync(path.join(projectDirectory, name), path.join(location, name), { recursive: true });
  }
  const loader = path.dirname(packageRequire.resolve('node-gyp-build/package.json'));
  cpSync(loader, path.join(modules, 'node-gyp-build'), { recursive: true });
  return location;
}

/** Puts the addon under test under `name` in `root`. */
export function placeAddon(root: string, name: string = binaryForThisHost): string {
  const file = path.join(root, name);
  mkdirSync(path.dirname(file), { recursive: true });
  copyFileSync(addonUnderTest, file);
  return file;
}
