import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { contentsOf, numberOf } from './fixtures/numbered-contents.cjs';
import { has } from './helpers/capabilities.js';
import { copying, killAtCalls, umask0777, usual, wasMade } from './helpers/killed-replaces.js';
import type { Killed, Phase, Scenario } from './helpers/killed-replaces.js';
import { killAtRandom, replacings } from './helpers/random-kills.js';
import { atScale, limitAtScale } from './helpers/scale.js';

const phases: Phase[] = [
  { name: 'open', from: /openat/ },
  { name: 'create', from: /O_TMPFILE/ },
  { name: 'reserve', from: /fallocate/, optional: true },
  { name: 'write', from: /pwrite64/ },
  { name: 'open target', from: /"file", O_RDWR/ },
  { name: 'create undo file', from: /O_TMPFILE/ },
  { name: 'write undo file', from: /pread64/ },
  { name: 'flush undo file', from: /fsync/ },
  { name: 'link undo file', from: /flock/ },
  { name: 'link undo file again', from: /linkat.*\.undo.*\.undo/ },
  { name: 'undo file written', from: /O_RDONLY\|O_CLOEXEC\|O_DIRECTORY/ },
  { name: 'grow', from: /fallocate/, optional: true },
  { name: 'narrow mode', from: /fchmod/, optional: true },
  { name: 'overwrite', from: /pread64/ },
  { name: 'truncate', from: /ftruncate/, optional: true },
  { name: 'set mode', from: /fchmod/, optional: true },
  { name: 'flush', from: /f(data)?sync/, optional: true },
  { name: 'remove undo file', from: /unlinkat/ },
  { name: 'undo file removed', from: /fstat/ },
];

const scenarios: Scenario[] = [
  { ...usual, name: 'by a shorter one', options: { ...copying, mode: 0o600 }, sizes: [5000, 3000] },
  {
    ...usual,
    name: 'by one that more may read',
    options: { ...copying, mode: 0o644 },
    sizes: [9000, 20_000],
  },
  { ...usual, name: 'by a longer one', options: copying, sizes: [3000, 700_000] },
  {
    ...usual,
    name: 'by one of the same length, with durability',
    options: { ...copying, durability: 'full' },
    sizes: [4096, 4096],
  },
  { ...umask0777, name: 'umask 0777', options: copying, sizes: [700_000, 100] },
];

describe('a copy leaves the old contents or the new ones to whoever reads by holdfast', () => {
  test.runIf(has('strace'))(
    'when killed at each system call in turn',
    () => killAtCalls(scenarios, phases, atScale(1000, 20), expectCopied),
    limitAtScale(30_000),
  );

  // Elsewhere a temporary file may be left for a minute: replace-kills-named.
  test.runIf(has('unnamedFiles'))(
    'when killed at random moments',
    () => {
      const expectNoTrace = (directory: string): void => {
        expect(readdirSync(directory)).toEqual(['file']);
      };
      return killAtRandom({
        name: 'copies',
        count: atScale(1000, 16),
        ways: replacings.map(({ options, form }) => ({
          options: { ...options, ...copying },
          form,
        })),
        check: { read: expectNoTrace, replaced: expectNoTrace },
      });
    },
    limitAtScale(30_000),
  );
});

async function expectCopied({ scenario, file, made, survivor, where }: Killed): Promise<void> {
  const directory = path.dirname(file);
  const { ino } = statSync(file);
  const begun = wasMade(made, /^linkat/);
  const ended = wasMade(made, /^unlinkat/);
  const before = contentsOf(1, scenario.sizes[0] ?? 0);
  const after = contentsOf(2, scenario.sizes[1]);
  if (!begun) expect(readFileSync(file).equals(before), where).toBe(true);
  if (ended) expect(readFileSync(file).equals(after), where).toBe(true);

  const read = await survivor.readRegularFile(file);
  const number = numberOf(Buffer.from(read?.contents ?? ''));
  expect(number === 1 || number === 2, where).toBe(true);
  expect(numberOf(readFileSync(file)), where).toBe(number);
  if (!begun) expect(number, where).toBe(1);
  if (ended) expect(number, where).toBe(2);
  // It is the same file, with the permissions that go with its contents.
  const mode = number === 2 ? (scenario.options.mode ?? 0o640) : 0o640;
  expect(statSync(file), where).toMatchObject({ ino });
  expect(statSync(file).mode & 0o7777, where).toBe(mode);
  expect(readdirSync(directory), where).toEqual(['file']);

  await survivor.replaceFileSync(file, contentsOf(3, 50), scenario.options);
  expect(numberOf(readFileSync(file)), where).toBe(3);
  expect(readdirSync(directory), where).toEqual(['file']);
}
