import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { commandFile, holdfast } from './helpers/command-line.js';
import { projectDirectory } from './helpers/paths.js';

const options = {
  run: [
    ['-s, --shared'],
    ['-w, --timeout DURATION'],
    ['-n, --nonblock'],
    ['-E, --conflict-exit-code N'],
    ['--session ID'],
    ['-o, --close'],
    ['-h, --help'],
  ],
  who: [['--json'], ['-h, --help']],
  replace: [['-m, --mode MODE'], ['--durability LEVEL'], ['--create-only'], ['-h, --help']],
  session: [
    ['--session ID'],
    ['--ttl DURATION'],
    ['-w, --timeout DURATION'],
    ['--json'],
    ['-h, --help'],
  ],
  journal: [['--summary'], ['--json'], ['-h, --help']],
  doctor: [['--json'], ['-h, --help']],
  demo: [['--without-lock'], ['--processes N'], ['--rounds N'], ['-h, --help']],
} as const;
const commands = Object.keys(options) as (keyof typeof options)[];

describe('help', () => {
  test.each(['--help', '-h'])('holdfast %s names every command', async (option) => {
    const result = await holdfast([option]);
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    for (const command of commands) {
      expect(result.stdout).toMatch(new RegExp(`^  ${command} +[A-Z]`, 'm'));
    }
  });

  test.each(commands)('holdfast %s --help teaches', async (command) => {
    const result = await holdfast([command, '--help']);
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(result.stdout).toContain(`holdfast ${command} [options]`);
    for (const [option] of options[command]) {
      expect(result.stdout).toMatch(new RegExp(`^ +${option} +[A-Z]`, 'm'));
    }
    expect(result.stdout).toMatch(/^Exit status:\n {2}0|^Exit status:\n {2}N/m);
    expect(result.stdout).toMatch(new RegExp(`\\$ holdfast ${command}`));
  });

  test.each(commands)('no line of holdfast %s --help is wider than a terminal', async (command) => {
    const { stdout } = await holdfast([command, '-h']);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test.each(commands)('%s is not carried out when help is asked for as well', async (command) => {
    const result = await holdfast([command, 'x', '--help']);
    expect(result).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(result.stdout).toMatch(/^Usage:/);
  });

  test.each(commands)('holdfast help %s is the same as --help', async (command) => {
    expect(await holdfast(['help', command])).toEqual(await holdfast([command, '--help']));
  });

  test('--version prints the version of the package', async () => {
    const file = path.join(projectDirectory, 'package.json');
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    const result = await holdfast(['--version']);
    expect(result).toEqual({ code: 0, signal: null, stdout: `${version}\n`, stderr: '' });
  });

  test('a reader that has seen enough is not answered with an error', async () => {
    await withChildren(async (children) => {
      const child = children.spawnNode([commandFile, 'run', '--help']);
      child.process.stdout?.destroy();
      expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
      expect(child.stderr).toBe('');
    });
  });
});

describe('a wrong command line ends with 64, one line that names what is wrong, and a hint', () => {
  const run = ['run', 'file'];
  const command = ['--', 'true'];
  test.each([
    [[], 'holdfast', 'a command is missing'],
    [['frobnicate'], 'holdfast', "unknown command 'frobnicate'"],
    [['--frobnicate'], 'holdfast', "unknown option '--frobnicate'"],
    [['constructor'], 'holdfast', "unknown command 'constructor'"],
    [[''], 'holdfast', "unknown command ''"],
    [[...run, '--frobnicate', ...command], 'holdfast run', "unknown option '--frobnicate'"],
    [[...run, '--toString', ...command], 'holdfast run', "unknown option '--toString'"],
    [[...run, '-x', ...command], 'holdfast run', "unknown option '-x'"],
    [[...run, '--no-close', ...command], 'holdfast run', "unknown option '--no-close'"],
    [['run'], 'holdfast run', 'FILE is missing'],
    [['run', ...command], 'holdfast run', 'FILE is missing'],
    [['run', '', ...command], 'holdfast run', 'FILE must not be empty'],
    [['run', 'a', 'b', ...command], 'holdfast run', "one FILE is enough, got 'b' as well"],
    [run, 'holdfast run', "'--' and a command must follow FILE"],
    [[...run, 'true'], 'holdfast run', "'--' and a command must follow FILE"],
    [[...run, '--'], 'holdfast run', "a command is missing after '--'"],
    [[...run, '--timeout'], 'holdfast run', "option '--timeout' needs a value"],
    [
      [...run, '--timeout', '--shared', ...command],
      'holdfast run',
      "option '--timeout' needs a value, got the option '--shared'",
    ],
    [[...run, '--timeout=soon', ...command], 'holdfast run', "--timeout' must be a duration"],
    [[...run, '--timeout=-1', ...command], 'holdfast run', "--timeout' must be a duration"],
    [[...run, '-w', '5 s', ...command], 'holdfast run', "got '5 s'"],
    [[...run, '--shared=yes', ...command], 'holdfast run', "option '--shared' takes no value"],
    [
      [...run, '--nonblock', '--timeout', '1s', ...command],
      'holdfast run',
      "options '--nonblock' and '--timeout' exclude each other",
    ],
    [[...run, '--conflict-exit-code=256', ...command], 'holdfast run', 'from 0 to 255, got'],
    [[...run, '-E', '1.5', ...command], 'holdfast run', "from 0 to 255, got '1.5'"],
    [['who'], 'holdfast who', 'FILE is missing'],
    [['who', 'a', 'b'], 'holdfast who', "one FILE is enough, got 'b' as well"],
    [['who', 'a', '--yaml'], 'holdfast who', "unknown option '--yaml'"],
    [['replace'], 'holdfast replace', 'FILE is missing'],
    [['replace', ''], 'holdfast replace', 'FILE must not be empty'],
    [['replace', 'a', 'b'], 'holdfast replace', "one FILE is enough, got 'b' as well"],
    [
      ['replace', 'a', '--mode', 'rw'],
      'holdfast replace',
      "in octal such as 600 or 0644, got 'rw'",
    ],
    [['replace', 'a', '--mode=800'], 'holdfast replace', "got '800'"],
    [['replace', 'a', '--mode', '10000'], 'holdfast replace', "got '10000'"],
    [
      ['replace', 'a', '--durability=most'],
      'holdfast replace',
      'must be none, ordered or full, got',
    ],
    [['replace', 'a', '--create-only=1'], 'holdfast replace', "'--create-only' takes no value"],
    [['doctor', 'a', 'b'], 'holdfast doctor', "one DIR is enough, got 'b' as well"],
    [['demo', 'a', 'b'], 'holdfast demo', "one FILE is enough, got 'b' as well"],
    [['demo', '--processes', '1'], 'holdfast demo', "from 2 to 64, got '1'"],
    [['demo', '--rounds', 'many'], 'holdfast demo', "from 1 to 100000, got 'many'"],
  ])('%j', async (args, program, message) => {
    const result = await holdfast(args);
    expect(result).toMatchObject({ code: 64, signal: null, stdout: '' });
    const [line, ...more] = result.stderr.split('\n');
    expect(line?.startsWith(`${program}: `)).toBe(true);
    expect(line).toContain(message);
    expect(more).toEqual([`Try '${program} --help'.`, '']);
  });

  test('what it repeats of the command line cannot steer the terminal', async () => {
    const result = await holdfast(['\u001b[2J\u009b\u202e']);
    expect(result.code).toBe(64);
    expect(result.stderr).toContain("unknown command '\\u{1b}[2J\\u{9b}\\u{202e}'");
  });
});
