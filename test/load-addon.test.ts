import { cpSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { hostLibc } from '../src/host-libc.js';
import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { binaryForThisHost, installWithoutAddon, placeAddon } from './helpers/installed-copy.js';
import { copyNode } from './helpers/renamed-node.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

interface Told {
  code?: string;
  message?: string;
  cause?: string;
  /** The addons that were loaded. */
  loaded: string[];
}

interface LoadOptions {
  /** Runs before. */
  prelude?: string;
  env?: Record<string, string>;
  execPath?: string;
}

/** Loads holdfast, from the project in `directory` or from the file `entry`, in a process of its own. */
async function load(
  directory: string,
  { prelude = '', env = {}, execPath = process.execPath }: LoadOptions = {},
  entry = 'holdfast',
): Promise<Told> {
  const program = `
    ${prelude};
    const told = {};
    try {
      require(${JSON.stringify(entry)});
    } catch (error) {
      const { code, message, cause } = error;
      Object.assign(told, { code, message, cause: cause?.code ?? cause?.message });
    }
    // Its network part asks for names, which takes long.
    process.report.excludeNetwork = true;
    told.loaded = process.report.getReport().sharedObjects.filter((file) => /\\.node$/.test(file));
    console.log(JSON.stringify(told));`;
  const child = await runNode(['-e', program], {
    cwd: directory,
    execPath,
    env: { PREBUILDS_ONLY: undefined, ...env },
  });
  expect(child).toMatchObject({ code: 0, signal: null, stderr: '' });
  return JSON.parse(child.stdout) as Told;
}

const normal = (file: string): string => path.normalize(file.replace(/^\\\\\?\\/, ''));

function expectRefusal(told: Told, ...parts: string[]): void {
  expect(told).toMatchObject({ code: 'ENOTSUP', loaded: [] });
  expect(told.message).not.toContain('\n');
  for (const part of parts) expect(told.message).toContain(part);
}

describe('the addon of the package', () => {
  test('is the prebuilt one, and before that what was compiled in it', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const prebuilt = placeAddon(location);
      expect((await load(directory)).loaded.map(normal)).toEqual([prebuilt]);
      const built = placeAddon(location, path.join('build', 'Release', 'holdfast.node'));
      expect((await load(directory)).loaded.map(normal)).toEqual([built]);
    });
  });

  test.runIf(has('severalLibcs'))('is the one for the C library of the program', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const { dir } = path.parse(binaryForThisHost);
      const [ours, other] = hostLibc() === 'musl' ? ['musl', 'glibc'] : ['glibc', 'musl'];
      const fitting = placeAddon(location, path.join(dir, `holdfast.${ours}.node`));
      writeFileSync(path.join(location, dir, `holdfast.${other}.node`), 'for another C library');
      // node-gyp-build goes by this.
      expect((await load(directory, { env: { LIBC: other } })).loaded).toEqual([fitting]);
    });
  });

  test('is a real file where the package lies in an archive of Electron', async () => {
    await withTemporaryDirectory(async (directory) => {
      // As Electron shows it: the archive looks like a directory, and has what is unpacked as well.
      const archive = path.join(directory, 'app.asar');
      placeAddon(installWithoutAddon(archive));
      const unpacked = placeAddon(
        path.join(directory, 'app.asar.unpacked', 'node_modules', 'holdfast'),
      );
      expect((await load(archive)).loaded.map(normal)).toEqual([unpacked]);
    });
  });

  test('is loaded in worker threads', async () => {
    await withTemporaryDirectory(async (directory) => {
      const prebuilt = placeAddon(installWithoutAddon(directory));
      const program = `
        const { Worker } = require('node:worker_threads');
        const inWorker = "require('holdfast').lockSync('target').releaseSync()";
        let ended = 0;
        for (let i = 0; i < 2; i++) {
          new Worker(inWorker, { eval: true })
            .on('error', (error) => { throw error; })
            .on('exit', () => { if (++ended === 2) console.log('both'); });
        }`;
      const child = await runNode(['-e', program], { cwd: directory });
      expect(child, prebuilt).toMatchObject({
        code: 0,
        signal: null,
        stderr: '',
        stdout: 'both\n',
      });
    });
  });
});

describe('nothing from outside of the package is loaded', () => {
  test('not what HOLDFAST_PREBUILD names', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const planted = placeAddon(path.join(directory, 'planted'));
      const env = { HOLDFAST_PREBUILD: path.join(directory, 'planted') };
      expectRefusal(await load(directory, { env }), planted, 'outside of the package');
      const built = placeAddon(location, path.join('build', 'Release', 'holdfast.node'));
      expect((await load(directory, { env })).loaded.map(normal)).toEqual([built]);
    });
  });

  test.runIf(has('renamedNode'))('not what lies beside the program', async () => {
    await withTemporaryDirectory(async (directory) => {
      installWithoutAddon(directory);
      const bin = path.join(directory, 'bin');
      mkdirSync(bin);
      const execPath = copyNode(bin);
      const planted = placeAddon(bin);
      expectRefusal(await load(directory, { execPath }), planted, 'outside of the package');
    });
  });

  test.each(['out/main.js', 'dist/main.js', 'dist/bundle/loader.js'])(
    'not what lies beside a bundle %s under a manifest with our name',
    async (name) => {
      await withTemporaryDirectory(async (directory) => {
        const location = installWithoutAddon(directory);
        placeAddon(location);
        const bundle = path.join(directory, name);
        mkdirSync(path.dirname(bundle), { recursive: true });
        // As a bundler does it: the text of the file, in another one.
        cpSync(path.join(location, 'dist'), path.dirname(bundle), { recursive: true });
        const moved = name.endsWith('loader.js')
          ? bundle
          : path.join(path.dirname(bundle), 'main.js');
        if (moved !== path.join(path.dirname(bundle), 'loader.js')) {
          renameSync(path.join(path.dirname(bundle), 'loader.js'), moved);
        }
        const root = path.dirname(path.dirname(moved));
        writeFileSync(path.join(root, 'package.json'), '{"name":"holdfast"}');
        placeAddon(root, path.join('build', 'Release', 'holdfast.node'));
        const program = `try { require(${JSON.stringify(moved)}).loadAddon?.(); Object.values(require(${JSON.stringify(moved)})).forEach((f) => { if (f?.name === 'loadAddon') f(); }); } catch {}
          process.report.excludeNetwork = true;
          console.log(JSON.stringify(process.report.getReport().sharedObjects.filter((file) => /\\.node$/.test(file))));`;
        const child = await runNode(['-e', program], { env: { PREBUILDS_ONLY: undefined } });
        expect(child).toMatchObject({ code: 0, signal: null, stdout: '[]\n', stderr: '' });
      });
    },
  );

  test('not what lies beside a bundle that holdfast was copied into', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const bundle = path.join(directory, 'bundle');
      cpSync(path.join(location, 'dist'), bundle, { recursive: true });
      placeAddon(directory);
      expectRefusal(await load(directory, {}, path.join(bundle, 'index.js')), 'bundle', 'external');
    });
  });
});

describe('where there is none that can be loaded, one line says why, and what to do', () => {
  const unported = `
    Object.defineProperty(process, 'platform', { value: 'sunos' });
    Object.defineProperty(process, 'arch', { value: 'sparc' });`;

  test('on a system without a binary', async () => {
    await withTemporaryDirectory(async (directory) => {
      placeAddon(installWithoutAddon(directory));
      const told = await load(directory, { prelude: unported });
      const { napi, node } = process.versions;
      const host = ['sunos-sparc', `Node-API ${String(napi)}`, `Node ${node}`];
      const tried = ['build/Release', 'prebuilds/sunos-sparc'];
      expectRefusal(told, ...host, ...tried, 'npx holdfast rebuild');
    });
  });

  test('with a binary that the system refuses: its first error', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const file = placeAddon(location);
      writeFileSync(file, 'no library');
      const told = await load(directory);
      expectRefusal(told, binaryForThisHost, 'npx holdfast rebuild');
      expect(told.cause).toBe('ERR_DLOPEN_FAILED');
    });
  });

  test('in the command, which can still be asked for its version, and how to compile one', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const command = path.join(location, 'dist', 'cli', 'main.js');
      const who = await runNode([command, 'who', 'file'], { cwd: directory });
      expect(who).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(who.stderr).toMatch(/^holdfast: ENOTSUP: .*npx holdfast rebuild.*\n$/);
      for (const args of [['--version'], ['rebuild', '--help']]) {
        const child = await runNode([command, ...args], { cwd: directory });
        expect(child).toMatchObject({ code: 0, signal: null, stderr: '' });
      }
    });
  });

  test('in rebuild, where what it needs is missing', async () => {
    await withTemporaryDirectory(async (directory) => {
      const location = installWithoutAddon(directory);
      const command = path.join(location, 'dist', 'cli', 'main.js');
      const rebuild = await runNode([command, 'rebuild'], { cwd: directory });
      expect(rebuild).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(rebuild.stderr).toContain('npm install --save-dev');
      expect(rebuild.stderr).toContain('node-addon-api');
    });
  });
});

test('a package that was renamed on disk loads all the same', async () => {
  await withTemporaryDirectory(async (directory) => {
    const location = installWithoutAddon(directory);
    placeAddon(location);
    const elsewhere = path.join(path.dirname(location), 'file-locks');
    renameSync(location, elsewhere);
    expect((await load(directory, {}, 'file-locks')).loaded).toHaveLength(1);
  });
});
