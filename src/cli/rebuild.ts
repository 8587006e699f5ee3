import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
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
    "It needs what node-gyp needs: python3, make and a C++17 compiler, and the headers of Node, which node-gyp downloads. node-gyp itself is taken from your project or from npm's installation, and node-addon-api from your project.",
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
    const nodeGyp = find('node-gyp/bin/node-gyp.js') ?? findInNpm('node-gyp/bin/node-gyp.js');
    const nodeAddonApi = find('node-addon-api/package.json');
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
    const modules = path.dirname(path.dirname(nodeAddonApi));
    return (await compile(nodeGyp, modules)) && (await tryIt()) ? 0 : exitCodes.systemError;
  },
});

/** A file of a package that the user's project has, or this package. */
function find(file: string): string | null {
  for (const directory of [process.cwd(), packageDirectory]) {
    try {
      return createRequire(path.join(directory, 'package.json')).resolve(file);
    } catch {
      // Not from there.
    }
  }
  return null;
}

/** A file of a package that npm brings along. */
function findInNpm(file: string): string | null {
  const prefix = path.dirname(process.execPath);
  const installations = [
    // npm and npx tell it.
    ...(process.env.npm_execpath === undefined
      ? []
      : [path.dirname(path.dirname(process.env.npm_execpath))]),
    path.join(prefix, '..', 'lib', 'node_modules', 'npm'),
    path.join(prefix, 'node_modules', 'npm'),
  ];
  for (const npm of installations) {
    try {
      return createRequire(path.join(npm, 'package.json')).resolve(file);
    } catch {
      // Not there.
    }
  }
  return null;
}

/** Compiles in a directory of its own, and puts the result into the package if all went well. */
async function compile(nodeGyp: string, modules: string): Promise<boolean> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-rebuild-'));
  try {
    cpSync(path.join(packageDirectory, 'native'), path.join(scratch, 'native'), {
      recursive: true,
    });
    cpSync(path.join(packageDirectory, buildDescription), path.join(scratch, 'binding.gyp'));
    // binding.gyp asks Node where node-addon-api is.
    const env = { ...process.env, NODE_PATH: modules };
    const args = [nodeGyp, 'rebuild', '--directory', scratch, '--jobs', 'max'];
    if (!(await succeeds(args, env))) {
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
  const loaded = await succeeds(['-e', 'require(process.argv[1])', packageDirectory], process.env);
  if (!loaded) print(program, 'what was compiled does not load');
  return loaded;
}

async function succeeds(args: readonly string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  const child = spawn(process.execPath, args, { env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}
