// Runs holdfast in Electron: `node test/electron/run.mjs VERSION`. The app is packed as users pack theirs, and holdfast is
// in it as npm would install it from the packed tarball.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [version = 'latest'] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const project = path.join(here, '..', '..');
// npm is started as the script that it is: on Windows its command is one for a shell.
const npm = ['node_modules', '../lib/node_modules']
  .map((place) => path.join(path.dirname(process.execPath), place, 'npm', 'bin', 'npm-cli.js'))
  .find((file) => existsSync(file));
const work = mkdtempSync(path.join(tmpdir(), 'holdfast-electron-app-'));

function runNpm(directory, ...args) {
  execFileSync(process.execPath, [npm, ...args], { cwd: directory, stdio: 'inherit' });
}

try {
  const app = path.join(work, 'app');
  const tools = path.join(work, 'tools');
  mkdirSync(app);
  mkdirSync(tools);
  for (const file of ['main.cjs', 'utility.cjs'])
    cpSync(path.join(here, file), path.join(app, file));
  writeFileSync(path.join(app, 'package.json'), '{ "name": "app", "main": "main.cjs" }\n');
  writeFileSync(path.join(tools, 'package.json'), '{ "private": true }\n');

  runNpm(project, 'pack', '--pack-destination', work);
  const tarball = readdirSync(work).find((name) => name.endsWith('.tgz'));
  runNpm(app, 'install', '--omit=dev', path.join(work, tarball));
  runNpm(tools, 'install', `electron@${version}`, '@electron/asar@4');

  const require = createRequire(path.join(tools, 'package.json'));
  const archive = path.join(work, 'app.asar');
  const asar = await import(
    new URL(`file://${require.resolve('@electron/asar').replaceAll('\\', '/')}`)
  );
  // Libraries cannot be loaded from within an archive; this is what packagers do with them.
  await asar.createPackageWithOptions(app, archive, { unpack: '**/*.node' });

  const { status, signal } = spawnSync(require('electron'), ['--no-sandbox', archive], {
    stdio: 'inherit',
    timeout: 180_000,
  });
  if (signal !== null) console.error(`Electron was ended by ${signal}`);
  process.exitCode = status ?? 1;
} finally {
  rmSync(work, { recursive: true, force: true, maxRetries: 5 });
}
