import { cp, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, test as plainTest, vi } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, runNode } from './helpers/child.js';
import { withRegistry } from './helpers/package-registry.js';
import {
  packAndPublish,
  patience,
  succeed,
  withInstalledPackage,
} from './helpers/packed-package.js';
import type { InstalledPackage } from './helpers/packed-package.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

vi.setConfig({ testTimeout: patience });

// Building takes most of the time, so it is done once.
const installedTest = plainTest.extend<{ installed: InstalledPackage }>({
  installed: [
    // eslint-disable-next-line no-empty-pattern -- vitest reads from the pattern which fixtures this one needs
    async ({}, use) => withInstalledPackage(use),
    { scope: 'file' },
  ],
});

const test = installedTest.runIf(has('npm'));

// What every way of loading must be able to do: take and release a lock, and recognise an error.
const exercise = `
  const target = process.argv[2];
  const held = await lock(target);
  const timeout = await lock(target, { timeout: 1 }).catch((error) => error);
  await held.release();
  const heldInside = await withLock(target, (inner) => inner.held);
  console.log(JSON.stringify({
    heldInside,
    heldAfterRelease: held.held,
    timeout: timeout instanceof HoldfastError && timeout.code,
  }));
`;
const exercised = { heldInside: true, heldAfterRelease: false, timeout: 'ETIMEDOUT' };

async function expectToWork(
  { project }: InstalledPackage,
  name: string,
  program: string,
): Promise<void> {
  const file = path.join(project, name);
  await writeFile(file, program);
  const { stdout, ...end } = await runNode([file, path.join(project, 'target')], { cwd: project });
  expect(end).toEqual({ code: 0, signal: null, stderr: '' });
  expect(JSON.parse(stdout)).toEqual(exercised);
}

test('the tarball holds what a user needs and nothing else', async ({ installed }) => {
  const sources = await readdir(path.join(projectDirectory, 'src'), { recursive: true });
  const modules = sources.filter((file) => /\.ts$/.test(file) && !/\.d\.ts$/.test(file));
  const declarations = modules.map((file) => `dist/${file.replace(/\.ts$/, '.d.ts')}`);
  const chunks = ['library', 'loader', 'rolldown-runtime', 'commands', 'doctor-examination'];
  const compiled = [
    ...['index', 'proper-lockfile/index', 'cli/main', 'cli/demo-writer', 'cli/doctor-holder'],
    ...[...chunks, 'demo-protocol', 'program-file'],
  ].map((name) => `dist/${name}.js`);
  const native = await readdir(path.join(projectDirectory, 'native'), {
    recursive: true,
    withFileTypes: true,
  });
  const nativeSources = native
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(projectDirectory, path.join(entry.parentPath, entry.name)))
    .map((file) => file.replaceAll(path.sep, '/'));
  const ofThisMachine = `prebuilds/${process.platform}-${process.arch}/`;
  const binaries = installed.files.filter((file) => file.startsWith(ofThisMachine));
  expect(binaries).not.toEqual([]);
  // Exactly these: so no map, no test, and nothing that a deleted source has left in dist. What `holdfast rebuild` compiles
  // is there, but no binding.gyp at the top, which package managers would compile.
  const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
  const binary = /^prebuilds\/[a-z0-9+-]+\/holdfast(\.[a-z0-9]+)*\.node$/;
  expect(installed.files.filter((file) => !binary.test(file)).toSorted()).toEqual(
    [
      ...documents,
      'prebuilds/binding.gyp',
      ...nativeSources,
      ...declarations,
      ...compiled,
    ].toSorted(),
  );
});

test('nothing of it runs or compiles when it is installed', async ({ installed }) => {
  const manifest = JSON.parse(
    await readFile(path.join(installed.location, 'package.json'), 'utf8'),
  ) as { scripts: Record<string, string>; gypfile: boolean };
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare'];
  expect(Object.keys(manifest.scripts).filter((name) => hooks.includes(name))).toEqual([]);
  expect(manifest.gypfile).toBe(false);
  await expect(readdir(path.join(installed.location, 'build'))).rejects.toThrow('ENOENT');
});

test('the loader finds the packed binary', async ({ installed }) => {
  const program = `console.log(require('node-gyp-build').resolve(${JSON.stringify(installed.location)}))`;
  const found = await runNode(['-e', program], { cwd: installed.project });
  expect(found).toMatchObject({ code: 0, signal: null });
  const directory = path.join('prebuilds', `${process.platform}-${process.arch}`);
  expect(path.dirname(found.stdout.trim())).toBe(
    path.join(await realpath(installed.location), directory),
  );
});

installedTest.runIf(has('npm') && has('nativeBuild'))(
  'it compiles the addon where there is no binary',
  async ({ installed }) => {
    await withTemporaryDirectory(async (directory) => {
      // A project of its own, without binaries, and with what the message asks for.
      const location = path.join(directory, 'node_modules', 'holdfast');
      await cp(installed.location, location, {
        recursive: true,
        filter: (source) => !source.endsWith('.node'),
      });
      for (const name of ['node-gyp-build', 'node-addon-api', 'node-gyp']) {
        const dependency = path.join(projectDirectory, 'node_modules', name);
        await symlink(dependency, path.join(directory, 'node_modules', name));
      }
      const command = path.join(location, 'dist', 'cli', 'main.js');
      const useIt = ['-e', "require('holdfast').lockSync('target').releaseSync()"];
      const before = await runNode(useIt, { cwd: directory });
      expect(before).toMatchObject({ code: 1, signal: null });
      expect(before.stderr).toContain("'npx holdfast rebuild' compiles it");

      const rebuild = await runNode([command, 'rebuild'], { cwd: directory, timeout: patience });
      expect(rebuild, rebuild.stderr).toMatchObject({ code: 0, signal: null });
      const built = path.join(location, 'build', 'Release', 'holdfast.node');
      expect(rebuild.stdout).toContain(`compiled ${built}`);
      const after = await runNode(useIt, { cwd: directory });
      expect(after).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
      expect(await readdir(path.join(location, 'build', 'Release'))).toEqual(['holdfast.node']);
    });
  },
);

test("require('holdfast') works", async ({ installed }) => {
  await expectToWork(
    installed,
    'user.cjs',
    `const { lock, withLock, HoldfastError } = require('holdfast');
    (async () => {${exercise}})();`,
  );
});

test('an ES module imports it by name', async ({ installed }) => {
  await expectToWork(
    installed,
    'user.mjs',
    `import { lock, withLock, HoldfastError } from 'holdfast';${exercise}`,
  );
});

// The same for the drop-in: it is the function, has the others as properties, and holds and frees a lock.
const exerciseDropIn = `
  const release = await lockfile(target);
  const busy = await lockfile.lock(target).catch(({ code }) => code);
  const checked = await lockfile.check(target);
  await release();
  console.log(JSON.stringify({ same: lockfile === lockfile.lock, busy, checked, after: checkSync(target) }));
`;
const dropInExercised = { same: true, busy: 'ELOCKED', checked: true, after: false };

const dropInForms = [
  {
    name: 'drop-in.cjs',
    program: `const lockfile = require('holdfast/proper-lockfile');
      const { checkSync } = lockfile;
      const target = __filename;
      (async () => {${exerciseDropIn}})();`,
  },
  {
    name: 'drop-in.mjs',
    program: `import lockfile, { checkSync } from 'holdfast/proper-lockfile';
      const target = process.argv[1];
      ${exerciseDropIn}`,
  },
];

test.for(dropInForms)(
  'the drop-in for proper-lockfile: $name',
  async ({ name, program }, { installed }) => {
    const file = path.join(installed.project, name);
    await writeFile(file, program);
    const { stdout, ...end } = await runNode([file], { cwd: installed.project });
    expect(end).toEqual({ code: 0, signal: null, stderr: '' });
    expect(JSON.parse(stdout)).toEqual(dropInExercised);
  },
);

test('with "overrides" a dependency that asks for proper-lockfile gets it', async ({
  installed,
}) => {
  await withTemporaryDirectory(async (directory) => {
    const dependency = path.join(directory, 'dependency');
    await mkdir(dependency);
    await writeFile(
      path.join(dependency, 'package.json'),
      JSON.stringify({
        ...{ name: 'dependency', version: '1.0.0', main: 'index.js' },
        dependencies: { 'proper-lockfile': '^4.1.2' },
      }),
    );
    await writeFile(
      path.join(dependency, 'index.js'),
      `const lockfile = require('proper-lockfile');
      const { getLocks } = require('proper-lockfile/lib/lockfile');
      module.exports = { lockfile, getLocks, file: require.resolve('proper-lockfile/package.json') };`,
    );
    const readme = await readFile(
      path.join(projectDirectory, 'packages', 'proper-lockfile', 'README.md'),
      'utf8',
    );
    // What the README says is what is tried.
    const { overrides } = JSON.parse(/```json\n(.*?)```/s.exec(readme)?.[1] ?? '') as {
      overrides: Record<string, string>;
    };
    const packages = [
      { ...(await packAndPublish(installed.location, directory)), tarball: installed.tarball },
      await packAndPublish(path.join(projectDirectory, 'packages', 'proper-lockfile'), directory),
      await packAndPublish(
        path.join(projectDirectory, 'node_modules', 'node-gyp-build'),
        directory,
      ),
      await packAndPublish(dependency, directory),
    ];
    const project = path.join(directory, 'project');
    await mkdir(project);
    await writeFile(
      path.join(project, 'package.json'),
      JSON.stringify({ name: 'user', dependencies: { dependency: '^1.0.0' }, overrides }),
    );
    await withRegistry(packages, async (registry) => {
      const cache = path.join(directory, 'cache');
      const options = ['--registry', registry, '--cache', cache, '--no-audit', '--no-fund'];
      await succeed('npm', ['install', ...options], project);
    });
    await writeFile(
      path.join(project, 'main.cjs'),
      `const { lockfile, getLocks, file } = require('dependency');
      (async () => {
        const release = await lockfile.lock(__filename);
        const locks = Object.keys(getLocks());
        const { tryLock } = require('holdfast');
        const beside = await tryLock(__filename);
        await release();
        console.log(JSON.stringify({ name: require(file).name, locks, beside }));
      })();`,
    );
    const main = path.join(await realpath(project), 'main.cjs');
    const { stdout, ...end } = await runNode([main], { cwd: project });
    expect(end).toEqual({ code: 0, signal: null, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      ...{ name: 'holdfast-proper-lockfile', locks: [main], beside: null },
    });
  });
});

test('the command is installed', async ({ installed }) => {
  const command = path.join(installed.project, 'node_modules', '.bin', 'holdfast');
  const help = await run(command, ['--help'], { cwd: installed.project });
  expect(help).toMatchObject({ code: 0, signal: null, stderr: '' });
  expect(help.stdout).toContain('holdfast run');
});

test('Jest loads it', async ({ installed }) => {
  await writeFile(
    path.join(installed.project, 'user.test.js'),
    `const { lock, withLock, HoldfastError } = require('holdfast');
    test('takes and releases a lock', async () => {
      const target = require('node:path').join(__dirname, 'target');
      const held = await lock(target);
      expect(held.held).toBe(true);
      await expect(lock(target, { timeout: 1 })).rejects.toBeInstanceOf(HoldfastError);
      await held.release();
      expect(await withLock(target, (inner) => inner.held)).toBe(true);
    });

    test('the drop-in takes and releases a lock', async () => {
      const lockfile = require('holdfast/proper-lockfile');
      expect(lockfile).toBe(lockfile.lock);
      const release = await lockfile(__filename);
      await expect(lockfile(__filename)).rejects.toMatchObject({ code: 'ELOCKED' });
      expect(lockfile.checkSync(__filename)).toBe(true);
      await release();
      await expect(release()).rejects.toMatchObject({ code: 'ERELEASED' });
    });`,
  );
  const jest = path.join(projectDirectory, 'node_modules', 'jest', 'bin', 'jest.js');
  const options = ['--rootDir', installed.project, '--watchman=false', '--no-cache', '--ci'];
  const result = await runNode([jest, ...options], { cwd: installed.project, timeout: patience });
  expect(result, result.stderr).toMatchObject({ code: 0, signal: null });
  expect(result.stderr).toContain('2 passed');
});

const typedProgram = `
  import lockfile, { lock as lockByName, checkSync } from 'holdfast/proper-lockfile';
  import type { LockOptions as LockfileOptions } from 'holdfast/proper-lockfile';

  export async function useDropIn(file: string): Promise<boolean> {
    const options: LockfileOptions = { stale: 5000, retries: { retries: 3, forever: false }, onCompromised: (error: Error) => console.log(error) };
    const release: () => Promise<void> = await lockfile(file, options);
    await release();
    const releaseSync: () => void = lockfile.lockSync(file, { realpath: false, lockfilePath: file });
    releaseSync();
    await lockByName(file, { timeout: 100 });
    await lockfile.unlock(file);
    return checkSync(file, { stale: 5000 }) || lockfile.check(file);
  }

  import { lock, tryLock, lockSync, withLock, inspectLock, HoldfastError } from 'holdfast';
  import type { FileLock, LockHolder, LockInspection, LockOptions, WaitInfo } from 'holdfast';

  export async function use(target: string, signal: AbortSignal): Promise<number> {
    const options: LockOptions = { shared: true, timeout: 5000, signal, onWait: (info: WaitInfo) => console.log(info.message) };
    const held: FileLock = await lock(target, options);
    await held.release();
    const busy: FileLock | null = await tryLock(target);
    busy?.releaseSync();
    lockSync(target, { timeout: 10 }).releaseSync();
    const inspection: LockInspection = await inspectLock(target);
    const holder: LockHolder | null = inspection.holder;
    try {
      return await withLock(target, (inner) => inner.target.length + (holder?.pid ?? 0));
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'ETIMEDOUT') return error.holder?.pid ?? -1;
      throw error;
    }
  }

  // @ts-expect-error a misspelled option is an error
  void lock('target', { timeOut: 5 });
  // @ts-expect-error a synchronous lock cannot be aborted
  lockSync('target', { signal: AbortSignal.timeout(5) });
`;

test.for([
  { module: 'node16', moduleResolution: 'node16', file: 'typed.mts' },
  { module: 'node16', moduleResolution: 'node16', file: 'typed.cts' },
  { module: 'esnext', moduleResolution: 'bundler', file: 'typed.ts' },
])(
  'its types resolve and are strict: $file with moduleResolution $moduleResolution',
  async ({ module, moduleResolution, file }, { installed }) => {
    await writeFile(path.join(installed.project, file), typedProgram);
    const typeRoots = path.join(projectDirectory, 'node_modules', '@types');
    const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022'];
    const result = await runNode(
      [
        path.join(projectDirectory, 'node_modules', 'typescript', 'bin', 'tsc'),
        ...[...options, '--typeRoots', typeRoots, '--types', 'node'],
        ...['--module', module, '--moduleResolution', moduleResolution, file],
      ],
      { cwd: installed.project, timeout: patience },
    );
    expect(result).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  },
);
