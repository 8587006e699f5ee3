// Runs tests on an addon that watches itself: `node scripts/test-sanitized.mjs address|thread [arguments of vitest]`.
// `address` is AddressSanitizer with UndefinedBehaviorSanitizer: memory that is used out of turn, arithmetic without a
// meaning. `thread` is ThreadSanitizer: memory that two threads use at once. Each ends the process at what it finds, and
// the test with it. Needs gcc on Linux; the addon in build/ is one with the sanitizer afterwards.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';

const require = createRequire(import.meta.url);
const common = 'halt_on_error=1:abort_on_error=1';
const sanitizers = {
  address: {
    flags: '-fsanitize=address,undefined -fno-sanitize-recover=all',
    library: 'libasan.so',
    // Node leaves much to the end of its process; and what is freed is kept for a while, by default so much of it that it
    // looks like growth.
    env: {
      ASAN_OPTIONS: `${common}:detect_leaks=0:quarantine_size_mb=16`,
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
  thread: {
    flags: '-fsanitize=thread',
    library: 'libtsan.so',
    // Of the locks inside of Node it sees nothing.
    env: { TSAN_OPTIONS: `${common}:ignore_noninstrumented_modules=1` },
  },
};

const [name, ...given] = process.argv.slice(2);
const sanitizer = sanitizers[name];
if (sanitizer === undefined) {
  throw new Error(`which one: ${Object.keys(sanitizers).join(' or ')}?`);
}
const flags = `${sanitizer.flags} -g -O1 -fno-omit-frame-pointer`;
const run = (program, args, env) => {
  const { status, signal } = spawnSync(process.execPath, [program, ...args], {
    cwd: projectDirectory,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? (console.error(`ended by ${signal}`), 1));
};
run(require.resolve('node-gyp/bin/node-gyp.js'), ['rebuild', '--jobs=max', '--loglevel=warn'], {
  CXXFLAGS: flags,
  LDFLAGS: flags,
});
const library = execFileSync('g++', [`-print-file-name=${sanitizer.library}`], {
  encoding: 'utf8',
});
const vitest = path.join(path.dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
run(vitest, ['run', ...given], { ...sanitizer.env, LD_PRELOAD: library.trim() });
