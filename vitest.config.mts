import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

const built = (file: string) => fileURLToPath(new URL(`dist/${file}`, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests import the package by its own name and get what users get: the compiled files.
    alias: [
      { find: /^holdfast$/, replacement: built('index.js') },
      { find: /^holdfast\/proper-lockfile$/, replacement: built('proper-lockfile/index.js') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/fixtures/**', '**/node_modules/**'],
    // Native code runs in processes of its own: a crash is one failed file, and file descriptors are not shared.
    pool: 'forks',
    // Most tests wait more than they compute, so that there is room for more of them than there are processors.
    maxWorkers: Math.max(3, availableParallelism()),
    // Node itself loads the compiled package, so that the tests and the addon see one copy of it.
    server: { deps: { external: [/\/dist\//] } },
    // Far more than any of them takes: a busy machine is no failure.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: process.env.VITEST_JSON_REPORT
      ? ['default', ['json', { outputFile: process.env.VITEST_JSON_REPORT }]]
      : ['default'],
  },
});
