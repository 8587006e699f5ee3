// Sets up Wine 10 on a Debian machine, by itself and as root, and runs programs of Windows in it.
//
// Debian 12 has Wine 8, in which Node 24 and newer do not start. So the Wine of Debian 13 comes with all that it needs in
// a tree of its own, whose /usr its programs see in place of this machine's. They alone do: it is mounted in a namespace
// that ends with them. Nothing is installed here but debootstrap, and all other paths are the same inside.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

import { findMirror, installPrograms, runQuietly } from './debian.mjs';
import { cached, cacheDirectory } from './downloads.mjs';

const suite = 'trixie';
const wine = '/usr/bin/wine-stable';
const wineServer = '/usr/lib/wine/wineserver';

/** A path of this machine as a program in Wine names it. */
export function windowsPath(file) {
  return `Z:${path.resolve(file).replaceAll('/', '\\')}`;
}

/** Waits for its turn, makes Wine ready and hands it back. The turn ends with this process. */
export async function setUpWine() {
  const problem = whyNoWine();
  if (problem !== null) throw new Error(`Wine cannot be set up here: ${problem}`);
  mkdirSync(cacheDirectory, { recursive: true });
  await takeTurn(path.join(cacheDirectory, 'wine.lock'));
  const usr = path.join(cached(`wine-${suite}`, installWine), 'usr');
  const prefix = cached(`wine-${suite}-prefix`, (directory) => {
    console.log('making a Wine prefix');
    new Wine(usr, directory).initialize();
  });
  const ready = new Wine(usr, prefix);
  // What somebody has left behind whose turn ended early.
  ready.stop();
  ready.clearTemporaryFiles();
  return ready;
}

/** Why Wine cannot be set up on this machine, or null. */
export function whyNoWine() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `this is ${process.platform}-${process.arch}, not linux-x64`;
  }
  if (process.getuid() !== 0) return 'that takes root (a container is enough)';
  const { status, stderr } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
  if (status !== 0) return `this root may not mount (a container needs CAP_SYS_ADMIN): ${stderr}`;
  if (spawnSync('apt-get', ['--version']).status !== 0) return 'there is no apt-get: not a Debian';
  return null;
}

/** Waits until nobody else uses Wine: programs share a server and a disk C:, and are ended together. */
async function takeTurn(lockFile) {
  const attempt = spawnSync('flock', ['--nonblock', lockFile, 'true']);
  if (attempt.status !== 0) console.log('waiting for another run in Wine to end');
  // The lock lasts as long as the pipe to this child, of which nobody but this process has the other end.
  const holder = spawn('flock', [lockFile, 'sh', '-c', 'echo held && exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  // It shall not keep this process from ending.
  for (const part of [holder, holder.stdin, holder.stdout]) part.unref();
}

function installWine(directory) {
  installPrograms({ debootstrap: 'debootstrap' });
  console.log(`installing the Wine of Debian ${suite} into ${cacheDirectory}`);
  const root = path.join(directory, 'root');
  const options = ['--variant=minbase', '--include=wine,wine64'];
  // In a namespace of its own, so that what it mounts does not stay if it is ended.
  const command = ['debootstrap', ...options, suite, root, findMirror()];
  runQuietly('unshare', ['--mount', '--propagation', 'private', ...command]);
  renameSync(path.join(root, 'usr'), path.join(directory, 'usr'));
  for (const unused of ['root', 'usr/share/doc', 'usr/share/locale', 'usr/share/man']) {
    rmSync(path.join(directory, unused), { recursive: true, force: true });
  }
}

class Wine {
  #usr;
  #prefix;

  constructor(usr, prefix) {
    this.#usr = usr;
    this.#prefix = prefix;
  }

  initialize() {
    this.#runToEnd([wine, 'wineboot', '--init']);
    // What it writes, it writes late.
    this.#runToEnd([wineServer, '--wait']);
  }

  /** Ends everything that runs in it. */
  stop() {
    // Its status says whether anything ran.
    const [command, args] = this.#inNamespace([wineServer, '--kill']);
    spawnSync(command, args, { env: this.#environment(), stdio: 'ignore' });
    this.#runToEnd([wineServer, '--wait']);
  }

  clearTemporaryFiles() {
    const users = path.join(this.#prefix, 'drive_c', 'users');
    for (const user of readdirSync(users)) {
      const directory = path.join(users, user, 'AppData', 'Local', 'Temp');
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
    }
  }

  /**
   * Starts a program. Its output goes to a file, since Node for Windows cannot use a pipe of this machine as its standard
   * output.
   */
  start(program, args, { cwd, env = {}, output }) {
    const [command, rest] = this.#inNamespace([wine, program, ...args]);
    const descriptor = openSync(output, 'a');
    try {
      return spawn(command, rest, {
        cwd,
        env: { ...this.#environment(), ...env },
        stdio: ['ignore', descriptor, descriptor],
      });
    } finally {
      closeSync(descriptor);
    }
  }

  #runToEnd(words) {
    const [command, args] = this.#inNamespace(words);
    runQuietly(command, args, this.#environment());
  }

  #inNamespace(words) {
    const script = 'mount --bind "$0" /usr && exec "$@"';
    const namespace = ['--mount', '--propagation', 'private'];
    return ['unshare', [...namespace, 'sh', '-c', script, this.#usr, ...words]];
  }

  #environment() {
    return {
      ...process.env,
      DISPLAY: undefined,
      WAYLAND_DISPLAY: undefined,
      LC_ALL: 'C.UTF-8',
      WINEPREFIX: this.#prefix,
      WINEDEBUG: '-all',
      // No .NET, no browser, no menu entries: all that would be asked for or made at the first start.
      WINEDLLOVERRIDES: 'mscoree,mshtml=;winemenubuilder.exe=d',
    };
  }
}
