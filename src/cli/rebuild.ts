import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { packageDirectory } from '../load-addon.js';
import { defineCommand, UsageError } from './command.js';
import { exitCodes } from './exit-codes.js';
import { print } from './report.js';
import { printLine } from './terminal.js';

const program = 'holdfast rebuild';

/** Where it is packed; at the top of a package, package managers would compile it unasked. */
const buildDescription = path.join('prebuilds', 'binding.gyp');

export const rebuild = defineCommand({
  name: 'rebuild',
  summary: 'Compile the addon where no binary fits',
  synopsis: '',
  about: [
    'Compiles the addon from the sources in this package, for the Node that runs this, and puts it where it is loaded from then on, before any binary that came with the package. If anything fails, what was there stays.',
    "It needs what node-gyp needs: python3, make and a C++17 compiler, and the headers of Node, which node-gyp downloads. node-gyp and node-addon-api are taken from the node_modules that this package is installed in, and node-gyp else from npm's installation beside Node; never from the working directory.",
    'An addon speaks Node-API: there is no need to do this again for another version of Node, or for Electron.',
  ],
  options: {},
  exitStatus: [
    ['0', 'the addon is compiled, and loads'],
    ['64', 'the command line is wrong'],
    ['71', 'it cannot be compiled, or does not load; the message says why'],
  ],
  examples: [
    [
      'npm install --save-dev node-addon-api && npx holdfast rebuild',
      'On a system for which there is no binary:',
    ],
  ],

  async run({ operands, rest }) {
    const [operand] = [...operands, ...(rest ?? [])];
    if (operand !== undefined) throw new UsageError(`nothing can be named, got '${operand}'`);
    const nodeGyp = find('node-gyp');
    const nodeAddonApi = find('node-addon-api');
    const missing = [
      ...(nodeGyp === null ? ['node-gyp'] : []),
      ...(nodeAddonApi === null ? ['node-addon-api'] : []),
    ];
    if (nodeGyp === null || nodeAddonApi === null) {
      const install = `'npm install --save-dev ${missing.join(' ')}'`;
      print(
        program,
        `${missing.join(' and ')} cannot be found: ${install} installs what is missing`,
      );
      return exitCodes.systemError;
    }
    return (await compile(nodeGyp, nodeAddonApi)) && (await tryIt()) ? 0 : exitCodes.systemError;
  },
});

/**
 * The directories of packages that are used: that of this package, those that this package is installed in, and npm's own
 * beside the Node that runs this. Neither the working directory nor a directory above it: another user may have made
 * `node_modules` there, and what is in it would be run.
 */
function moduleDirectories(): string[] {
  const parts = packageDirectory.split(path.sep);
  const around = parts.flatMap((part, i) =>
    part === 'node_modules' ? [parts.slice(0, i + 1).join(path.sep)] : [],
  );
  const prefix = path.dirname(process.execPath);
  return [
    path.join(packageDirectory, 'node_modules'),
    ...around.reverse(),
    path.join(prefix, '..', 'lib', 'node_modules', 'npm', 'node_modules'),
    path.join(prefix, 'node_modules', 'npm', 'node_modules'),
  ];
}

/** The directory of a package, or null. */
function find(name: string): string | null {
  const directories = moduleDirectories().map((modules) => path.join(modules, name));
  return directories.find((place) => existsSync(path.join(place, 'package.json'))) ?? null;
}

/** Compiles in a directory of its own, and puts the result into the package if all went well. */
async function compile(nodeGyp: string, nodeAddonApi: string): Promise<boolean> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-rebuild-'));
  try {
    cpSync(path.join(packageDirectory, 'native'), path.join(scratch, 'native'), {
      recursive: true,
    });
    cpSync(path.join(packageDirectory, buildDescription), path.join(scratch, 'binding.gyp'));
    // binding.gyp asks Node where node-addon-api is, and Node looks in all directories above before it goes by NODE_PATH.
    mkdirSync(path.join(scratch, 'node_modules'));
    symlinkSync(
      realpathSync(nodeAddonApi),
      path.join(scratch, 'node_modules', 'node-addon-api'),
      'junction',
    );
    const args = [
      path.join(nodeGyp, 'bin', 'node-gyp.js'),
      'rebuild',
      '--directory',
      scratch,
      '--jobs',
      'max',
    ];
    if (!(await succeeds(args))) {
      print(program, 'the addon could not be compiled; node-gyp has said why');
      return false;
    }
    const output = path.join(packageDirectory, 'build', 'Release');
    const file = path.join(output, 'holdfast.node');
    mkdirSync(output, { recursive: true });
    // Under another name first: a program may just be loading it.
    cpSync(path.join(scratch, 'build', 'Release', 'holdfast.node'), `${file}.new`);
    renameSync(`${file}.new`, file);
    printLine(`compiled ${file}`);
    return true;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** In a process of its own, since this one may have another addon loaded, or crash. */
async function tryIt(): Promise<boolean> {
  const loaded = await succeeds(['-e', 'require(process.argv[1])', packageDirectory]);
  if (!loaded) print(program, 'what was compiled does not load');
  return loaded;
}

async function succeeds(args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}
