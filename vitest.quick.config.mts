// What `npm test` runs: all but the tests that take long and seldom break, which `npm run test:all` and .ci/run have too.
import { availableParallelism } from 'node:os';

import { defineConfig, mergeConfig } from 'vitest/config';

import whole from './vitest.config.mts';

const thorough = [
  // Kills, faults and full disks, at many moments.
  ...['replace-failing-calls', 'replace-full-disk', 'replace-leftovers', 'replace-modes'],
  ...['replace-kills-copy', 'replace-kills-named', 'replace-kills-rename', 'replace-defects-ends'],
  ...['replace-without-links', 'replace-without-descriptors', 'kill-at-every-system-call'],
  ...['take-over-kills', 'job-store-failures', 'lock-file-mode', 'update-release-failure'],
  ...['replace-fallback', 'wait-process-end', 'wait-signals'],
  // Many processes, for a while.
  ...['cli-demo', 'replace-many-processes', 'second-implementation', 'take-over-load'],
  ...['proper-lockfile/mixed-fleet', 'reports/approvals/approvals', 'session-lock-races'],
  // The command, a process for each case; and much that is planted.
  ...['cli-usage', 'cli-doctor', 'cli-replace', 'cli-session'],
  ...['planted-lock-file', 'foreign-content', 'fail-open-updates'],
  ...['take-over-clocks', 'reports/lock-tool/lock-tool'],
  // Attacks with very many exchanges.
  ...['security/swap-locks', 'security/swap-updates', 'security/swap-replace'],
  // What packs, installs or builds.
  ...['package', 'bundlers', 'lint-rules', 'bench', 'comparison', 'docs-code'],
];

export default mergeConfig(
  whole,
  defineConfig({
    test: {
      exclude: thorough.map((name) => `test/${name}.test.ts`),
      // A third of the time goes on starting a process for each file and loading vitest into it, else.
      isolate: false,
      maxWorkers: Math.max(4, availableParallelism()),
    },
  }),
);
