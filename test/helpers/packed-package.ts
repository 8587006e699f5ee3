import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'vitest';

import { run } from './child.js';
import type { PublishedPackage } from './package-registry.js';
import { projectDirectory } from './paths.js';
import { withTemporaryDirectory } from './temporary-directory.js';

/** The package as a user gets it. */
export interface InstalledPackage {
  /** The files of the tarball. */
  files: string[];
  /** The user's project. */
  project: string;
  /** holdfast in the project's node_modules. */
  location: string;
  tarball: string;
}

/** Milliseconds: npm, a native build and type checks on a slow machine. */
export const patience = 600_000;

/**
 * Hands `use` an installed package: the addon is built as for a release, everything is packed by npm, and the tarball is
 * installed into an empty project without running any script of it.
 */
export async function withInstalledPackage(
  use: (installed: InstalledPackage) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const { files, tarball } = await pack(path.join(directory, 'checkout'));
    const project = path.join(directory, 'project');
    await install(project, tarball);
    const location = path.join(project, 'node_modules', 'holdfast');
    await use({ files, project, location, tarball });
  });
}

/** Builds the addon for a release and packs, in a copy of the checkout: a build would remove the one under test. */
async function pack(checkout: string): Promise<{ files: string[]; tarball: string }> {
  const leftOut = ['.git', 'build', 'node_modules'].map((name) =>
    path.join(projectDirectory, name),
  );
  await cp(projectDirectory, checkout, {
    recursive: true,
    filter: (source) => !leftOut.includes(source),
  });
  await symlink(path.join(projectDirectory, 'node_modules'), path.join(checkout, 'node_modules'));
  // `npm run prebuild` may have built it already, and knows whether it is that of these sources.
  const prebuilt = path.join(checkout, 'prebuilds', `${process.platform}-${process.arch}`);
  if (!existsSync(prebuilt)) await succeed('npm', ['run', 'prebuild:native'], checkout);
  return packDirectory(checkout, checkout);
}

/** Packs the package in `directory` as it is, and puts the tarball into `destination`. */
async function packDirectory(
  directory: string,
  destination: string,
): Promise<{ files: string[]; tarball: string }> {
  const options = ['--json', '--ignore-scripts', '--pack-destination', destination];
  const report = await succeed('npm', ['pack', ...options], directory);
  const [packed] = JSON.parse(report) as [{ filename: string; files: { path: string }[] }];
  return {
    files: packed.files.map((file) => file.path),
    tarball: path.join(destination, packed.filename),
  };
}

async function install(project: string, tarball: string): Promise<void> {
  await mkdir(project);
  await writeFile(path.join(project, 'package.json'), '{ "name": "user", "private": true }\n');
  // The one dependency comes from this checkout, so that no registry is asked.
  const dependency = path.join(projectDirectory, 'node_modules', 'node-gyp-build');
  const options = ['--ignore-scripts', '--offline', '--install-links', '--no-audit', '--no-fund'];
  await succeed('npm', ['install', ...options, '--prefix', project, tarball, dependency], project);
}

/** Runs a command that has to end well, and hands back what it prints. */
export async function succeed(command: string, args: string[], cwd: string): Promise<string> {
  const { stdout, ...end } = await run(command, args, { cwd, timeout: patience });
  expect(end, stdout).toMatchObject({ code: 0, signal: null });
  return stdout;
}

/** Packs a package that is there, for a registry. */
export async function packAndPublish(
  source: string,
  destination: string,
): Promise<PublishedPackage> {
  const { tarball } = await packDirectory(source, destination);
  const manifest = JSON.parse(
    await readFile(path.join(source, 'package.json'), 'utf8'),
  ) as PublishedPackage['manifest'];
  return { manifest, tarball };
}
