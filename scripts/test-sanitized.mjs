// Runs tests on an addon that watches itself: `node scripts/test-sanitized.mjs address|thread [arguments of vitest]`.
// `address` is AddressSanitizer with UndefinedBehaviorSanitizer: memory that is used out of turn, arithmetic without a
// meaning. `thread` is ThreadSanitizer: memory that two threads use at once. Each ends the process at what it finds, and
// the test with it. Needs gcc on Linux; the addon in build/ is one with the sanitizer afterwards.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';
import { environmentOf, flagsOf, sanitizers } from './sanitizers.mjs';

const require = createRequire(import.meta.url);
const [name, ...given] = process.argv.slice(2);
const sanitizer = sanitizers[name];
if (sanitizer === undefined) {
  throw new Error(`which one: ${Object.keys(sanitizers).join(' or ')}?`);
}
const flags = flagsOf(sanitizer).join(' ');
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
const vitest = path.join(path.dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
run(vitest, ['run', ...given], environmentOf(sanitizer));
