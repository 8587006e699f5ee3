// Builds the native code, without what is Node's, with the cases of test/native/core, and runs each:
//
//   npm run test:core                            with AddressSanitizer and UndefinedBehaviorSanitizer, and with ThreadSanitizer
//   npm run test:core -- address|thread|plain    with these alone
//   npm run test:core -- valgrind                without sanitizers, under valgrind (Debian: apt-get install valgrind)
//   npm run test:core -- plain --rounds 100000   more rounds than usual
//   npm run test:core -- plain --case grow       the cases with a name that has this in it
//
// Needs a Linux machine, and clang++ or g++.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { buildCore } from './native-core.mjs';
import { projectDirectory } from './native-target.mjs';

const common = 'halt_on_error=1';
const kinds = {
  plain: { flags: [], env: {}, prefix: [] },
  address: {
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
    env: {
      // What is freed is kept for a while: by default so much of it that it looks like growth.
      ASAN_OPTIONS: `${common}:detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=16`,
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
    prefix: [],
  },
  thread: {
    flags: ['-fsanitize=thread'],
    env: { TSAN_OPTIONS: `${common}:second_deadlock_stack=1` },
    prefix: [],
  },
  valgrind: {
    // What Debian 12's valgrind reads of clang's.
    flags: ['-gdwarf-4'],
    env: {},
    prefix: [
      ...['valgrind', '--quiet', '--error-exitcode=99', '--leak-check=full'],
      ...['--show-leak-kinds=definite,indirect', '--errors-for-leak-kinds=definite,indirect'],
      ...['--fair-sched=yes', '--track-fds=yes'],
    ],
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, case: { type: 'string', default: '' } },
});

let failures = 0;
for (const name of positionals.length > 0 ? positionals : ['address', 'thread']) {
  const kind = kinds[name];
  if (kind === undefined) throw new Error(`no such kind: ${name}`);
  const program = await buildCore({
    name: `core-${name}`,
    cases: path.join('test', 'native', 'core'),
    flags: ['-O1', '-fno-omit-frame-pointer', ...kind.flags],
  });
  const cases = run([program, '--list'], {}).stdout.split('\n').filter(Boolean);
  for (const one of cases.filter((found) => found.includes(values.case))) {
    runCase(name, kind, program, one);
  }
}
console.log(failures === 0 ? 'nothing was found' : `${failures} cases failed`);
process.exitCode = failures === 0 ? 0 : 1;

function runCase(name, { prefix, env }, program, one) {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-core-'));
  try {
    const start = performance.now();
    const more = values.rounds === undefined ? {} : { HOLDFAST_ROUNDS: values.rounds };
    const result = run([...prefix, program, one, directory], { ...env, ...more });
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const passed = result.status === 0;
    if (!passed) failures += 1;
    console.log(`${passed ? 'ok  ' : 'FAIL'}  ${name}  ${seconds} s  ${one}`);
    const output = `${result.stdout}${result.stderr}`.trim();
    if (output !== '') console.log(output.replaceAll(/^/gm, '      '));
    if (!passed) console.log(`      exit code ${result.status}, signal ${result.signal}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function run([command, ...args], env) {
  const result = spawnSync(command, args, {
    cwd: projectDirectory,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 26,
    timeout: 20 * 60_000,
  });
  if (result.error && result.error.code !== 'ETIMEDOUT') throw result.error;
  return result;
}
