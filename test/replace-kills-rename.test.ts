import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { contentsOf, numberOf } from './fixtures/numbered-contents.cjs';
import { has } from './helpers/capabilities.js';
import { killAtCalls, umask0777, usual, wasMade } from './helpers/killed-replaces.js';
import type { Killed, Phase, Scenario } from './helpers/killed-replaces.js';
import { makeOld } from './helpers/leftovers.js';
import { killAtRandom, replacings } from './helpers/random-kills.js';
import { atScale, limitAtScale } from './helpers/scale.js';

const phases: Phase[] = [
  { name: 'open', from: /openat/ },
  { name: 'create', from: /O_TMPFILE/ },
  { name: 'reserve', from: /fallocate/, optional: true },
  { name: 'write', from: /pwrite64/ },
  { name: 'mode', from: /fchmod/, optional: true },
  { name: 'flush', from: /f(data)?sync/, optional: true },
  { name: 'link', from: /flock/ },
  { name: 'rename', from: /renameat/ },
  { name: 'compare', from: /fstat/ },
  { name: 'flush directory', from: /O_RDONLY\|O_CLOEXEC\|O_DIRECTORY/, optional: true },
];

const scenarios: Scenario[] = [
  { ...usual, name: 'a file', sizes: [5000, 3000] },
  {
    ...usual,
    name: 'a file, with durability',
    options: { durability: 'full', mode: 0o600 },
    sizes: [100, 70_000],
  },
  { ...usual, name: 'a new file', sizes: [null, 3000], options: { durability: 'none' } },
  { ...umask0777, name: 'a file, umask 0777', sizes: [100, 200] },
  { ...umask0777, name: 'a new file, umask 0777', sizes: [null, 200], options: { mode: 0o640 } },
  { ...umask0777, name: 'a new file that nobody may read', sizes: [null, 200], unreadable: true },
];

describe('a rename leaves the old file or the new one, and every reader sees it whole', () => {
  test.runIf(has('strace'))(
    'when killed at each system call in turn',
    () => killAtCalls(scenarios, phases, atScale(2500, 30), expectRenamed),
    limitAtScale(30_000),
  );

  test.runIf(has('unnamedFiles'))(
    'when killed at random moments',
    () =>
      killAtRandom({
        name: 'renames',
        count: atScale(2500, 30),
        ways: replacings,
        check: {
          killed: (directory, before) => {
            const found = numberOf(readFileSync(path.join(directory, 'file')));
            expect(found).toBeGreaterThan(before);
          },
          replaced: (directory) => {
            expect(readdirSync(directory)).toEqual(['file']);
          },
        },
      }),
    limitAtScale(30_000),
  );
});

async function expectRenamed({ scenario, file, made, survivor, where }: Killed): Promise<void> {
  const directory = path.dirname(file);
  const renamed = wasMade(made, /^renameat/);
  const linked = wasMade(made, /^linkat/);
  const [before, after] = scenario.sizes;
  if (renamed) {
    expect(readFileSync(file).equals(contentsOf(2, after)), where).toBe(true);
  } else if (before !== null) {
    expect(readFileSync(file).equals(contentsOf(1, before)), where).toBe(true);
    expect(statSync(file).mode & 0o7777, where).toBe(0o640);
  }
  const there = renamed || before !== null ? ['file'] : [];
  const left = readdirSync(directory).filter((name) => name !== 'file');
  expect(left, where).toEqual(
    linked && !renamed ? [expect.stringMatching(/^\.holdfast-\d+\.tmp$/)] : [],
  );
  expect(readdirSync(directory).includes('file'), where).toBe(there.length > 0);

  await survivor.replaceFileSync(file, contentsOf(3, 50), { mode: 0o600 });
  expect(numberOf(readFileSync(file)), where).toBe(3);
  // Whether a process holds the lock on it cannot be asked of a file that may not be opened, so that one stays for a while.
  const stays = scenario.unreadable ? left : [];
  expect(readdirSync(directory), where).toEqual([...stays, 'file']);
  if (stays.length === 0) return;
  makeOld(directory);
  await survivor.replaceFileSync(file, contentsOf(4, 50), { mode: 0o600 });
  expect(numberOf(readFileSync(file)), where).toBe(4);
  expect(readdirSync(directory), where).toEqual(['file']);
}
