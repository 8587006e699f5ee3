import { chmod, cp, mkdir, realpath, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { expect, test as plainTest, vi } from 'vitest';

import { installBundlers } from './helpers/bundlers.js';
import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { binaryForThisHost, installWithoutAddon, placeAddon } from './helpers/installed-copy.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// docs/bundlers.md gives one line for each bundler: here each is given that line, and what it makes is run.
vi.setConfig({ testTimeout: 600_000 });

const test = plainTest.runIf(has('npm'));

const program = `
  const held = lockSync('target');
  console.log(held.held && tryLockSync('target') === null ? 'locked' : 'not locked');
  held.releaseSync();
  process.report.excludeNetwork = true;
  console.log(process.report.getReport().sharedObjects.find((file) => /holdfast[^/]*\\.node$/.test(file)));
`;
const commonJs = `const { lockSync, tryLockSync } = require('holdfast');${program}`;
const module = `import { lockSync, tryLockSync } from 'holdfast';${program}`;

/** A project with holdfast and an entry of each kind. */
async function withProject(use: (project: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const project = path.join(await realpath(directory), 'project');
    placeAddon(installWithoutAddon(project));
    const manifest = { name: 'app', version: '1.0.0', main: 'app.cjs' };
    await write(project, 'package.json', JSON.stringify(manifest));
    await write(project, 'app.cjs', commonJs);
    await write(project, 'app.mjs', module);
    await use(project);
  });
}

async function write(project: string, name: string, text: string): Promise<void> {
  await writeFile(path.join(project, name), text);
}

async function build(project: string, ...args: string[]): Promise<void> {
  const child = await runNode(args, { cwd: project, timeout: 300_000 });
  expect(child, child.stdout + child.stderr).toMatchObject({ code: 0, signal: null });
}

/** Runs what was built: it locks, by the addon in `location`. */
async function expectToWork(project: string, bundle: string, location = project): Promise<void> {
  const child = await runNode([path.join(project, bundle)], { cwd: project });
  expect(child, child.stderr).toMatchObject({ code: 0, signal: null, stderr: '' });
  const addon = path.join(location, 'node_modules', 'holdfast', binaryForThisHost);
  expect(child.stdout).toBe(`locked\n${addon}\n`);
}

const bin = (...parts: string[]): string => path.join(installBundlers(), ...parts);

test('esbuild: --external:holdfast', async () => {
  await withProject(async (project) => {
    const esbuild = bin('esbuild', 'bin', 'esbuild');
    const options = ['--bundle', '--platform=node', '--log-level=warning'];
    await build(project, esbuild, 'app.mjs', ...options, '--external:holdfast', '--outdir=out');
    await expectToWork(project, 'out/app.js');

    // Without that line, one line says what is missing.
    await build(project, esbuild, 'app.mjs', ...options, '--outfile=all/app.js');
    const child = await runNode([path.join(project, 'all', 'app.js')], { cwd: project });
    expect(child).toMatchObject({ code: 1, signal: null, stdout: '' });
    expect(child.stderr).toMatch(/ENOTSUP: .*Leave holdfast out of the bundle \(external\)/);
  });
});

test("webpack: externals: { holdfast: 'commonjs holdfast' }", async () => {
  await withProject(async (project) => {
    await write(
      project,
      'build.cjs',
      `const webpack = require(${JSON.stringify(bin('webpack'))});
      webpack({
        mode: 'production',
        target: 'node',
        context: __dirname,
        entry: './app.mjs',
        output: { path: __dirname + '/out', filename: 'app.cjs' },
        externals: { holdfast: 'commonjs holdfast' },
      }, (error, stats) => {
        if (error) throw error;
        if (stats.hasErrors()) throw new Error(stats.toString());
      });`,
    );
    await build(project, 'build.cjs');
    await expectToWork(project, 'out/app.cjs');
  });
});

test("Vite: rollupOptions: { external: ['holdfast'] }", async () => {
  await withProject(async (project) => {
    await write(
      project,
      'vite.config.mjs',
      `export default {
        logLevel: 'warn',
        build: {
          outDir: 'out',
          target: 'node20',
          lib: { entry: 'app.mjs', formats: ['cjs'], fileName: () => 'app.cjs' },
          rollupOptions: { external: ['holdfast'] },
        },
      };`,
    );
    // vitest has it already.
    const vite = path.join(projectDirectory, 'node_modules', 'vite', 'bin', 'vite.js');
    await build(project, vite, 'build');
    await expectToWork(project, 'out/app.cjs');
  });
});

test("electron-builder: asarUnpack: ['**/*.node']", async () => {
  await withProject(async (project) => {
    // It packs what it takes for Electron, which is not run here: test/electron does that.
    const electron = path.join(project, 'electron');
    await mkdir(path.join(electron, 'resources'), { recursive: true });
    await write(electron, 'electron', '#!/bin/sh\n');
    await chmod(path.join(electron, 'electron'), 0o755);
    const manifest = {
      ...{
        name: 'app',
        version: '1.0.0',
        main: 'app.cjs',
        description: 'A test',
        author: 'nobody',
      },
      dependencies: { holdfast: '*' },
      build: {
        ...{ electronVersion: '35.0.0', electronDist: 'electron', npmRebuild: false },
        ...{ linux: { target: 'dir' }, directories: { output: 'out' }, files: ['app.cjs'] },
        asarUnpack: ['**/*.node'],
      },
    };
    await write(project, 'package.json', JSON.stringify(manifest));
    await build(project, bin('electron-builder', 'cli.js'), '--dir', '--linux');

    // Node does not read archives. As Electron shows it, the archive is a directory that has the unpacked files as well.
    const resources = path.join(project, 'out', 'linux-unpacked', 'resources');
    const archive = path.join(resources, 'app.asar');
    const shown = path.join(project, 'shown');
    const asar = pathToFileURL(bin('@electron', 'asar', 'lib', 'asar.js')).href;
    const extract = `import { extractAll } from '${asar}'; extractAll(...process.argv.slice(1));`;
    await build(project, '--input-type=module', '-e', extract, archive, shown);
    await rename(archive, `${archive}.packed`);
    await cp(shown, archive, { recursive: true });
    await expectToWork(archive, 'app.cjs', `${archive}.unpacked`);
  });
});
