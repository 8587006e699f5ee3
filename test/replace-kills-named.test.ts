import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { contentsOf, numberOf } from './fixtures/numbered-contents.cjs';
import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { copying, killAtCalls, umask0777, usual, wasMade } from './helpers/killed-replaces.js';
import type { Killed, Phase, Scenario } from './helpers/killed-replaces.js';
import { makeOld, randomName } from './helpers/leftovers.js';
import { killAtRandom, replacings } from './helpers/random-kills.js';
import { atScale, limitAtScale } from './helpers/scale.js';
import { withoutUnnamedFiles } from './helpers/unnamed-files.js';

const named = { named: true } as const;

const created: Phase[] = [
  { name: 'open', from: /openat/ },
  { name: 'create', from: /O_CREAT/ },
  { name: 'lock', from: /flock/ },
  { name: 'look for leftovers', from: /O_RDONLY\|O_CLOEXEC\|O_DIRECTORY/ },
  { name: 'remove leftover', from: /unlinkat/, optional: true },
  { name: 'reserve', from: /fallocate/, optional: true },
  { name: 'write', from: /pwrite64/ },
];

const renamePhases: Phase[] = [
  ...created,
  { name: 'mode', from: /fchmod/, optional: true },
  { name: 'flush', from: /f(data)?sync/, optional: true },
  { name: 'rename', from: /renameat/ },
  { name: 'compare', from: /fstat/ },
  { name: 'flush directory', from: /O_RDONLY\|O_CLOEXEC\|O_DIRECTORY/, optional: true },
];

const copyPhases: Phase[] = [
  ...created,
  { name: 'open target', from: /"file", O_RDWR/ },
  { name: 'create journal', from: /O_CREAT/ },
  { name: 'write journal', from: /pread64/ },
  { name: 'flush journal', from: /fsync/ },
  { name: 'rename journal', from: /renameat2/ },
  { name: 'overwrite', from: /pread64/ },
  { name: 'flush', from: /fdatasync/ },
  { name: 'remove journal', from: /unlinkat/ },
  { name: 'remove temporary file', from: /unlinkat/ },
];

const renames: Scenario[] = [
  { ...usual, ...named, name: 'a file', sizes: [5000, 3000], leftover: true },
  {
    ...{ ...usual, ...named, name: 'a file, with durability' },
    options: { durability: 'full', mode: 0o600 },
    sizes: [100, 70_000],
  },
  {
    ...{ ...usual, ...named, name: 'a new file' },
    options: { createOnly: true },
    sizes: [null, 3000],
  },
  { ...umask0777, ...named, name: 'a new file that nobody may read', sizes: [null, 200] },
];

const copies: Scenario[] = [
  { ...usual, ...named, name: 'a copy', options: copying, sizes: [5000, 7000], leftover: true },
  { ...umask0777, ...named, name: 'a copy, umask 0777', options: copying, sizes: [5000, 300] },
];

/** Of processes that find no unnamed files. */
const processes = has('unnamedFiles') ? withoutUnnamedFiles : () => ({});

describe.runIf(!has('unnamedFiles') || has('withoutUnnamedFiles'))(
  'where there are no unnamed files, nothing is torn, and nothing is left after a minute and one more replace',
  () => {
    test.runIf(has('strace'))(
      'by a rename that is killed at each system call in turn',
      () => killAtCalls(renames, renamePhases, atScale(500, 30), expectWhole),
      limitAtScale(30_000),
    );

    test.runIf(has('strace'))(
      'by a copy that is killed at each system call in turn',
      () => killAtCalls(copies, copyPhases, atScale(300, 20), expectWhole),
      limitAtScale(30_000),
    );

    test.each([
      { name: 'renames', more: {}, full: 500 },
      { name: 'copies', more: copying, full: 300 },
    ])(
      'by $name that are killed at random moments',
      async ({ name, more, full }) => {
        await killAtRandom({
          name: `${name} without unnamed files`,
          count: atScale(full, 16),
          ways: replacings.map(({ options, form }) => ({ options: { ...options, ...more }, form })),
          process: processes(),
          check: { replaced: expectTemporariesOnly },
          end: async (directory) => {
            makeOld(directory);
            // Another process: this one may have listed the directory just now.
            const program = `require('holdfast').replaceFileSync(process.argv[1], 'end')`;
            const args = ['-e', program, path.join(directory, 'file')];
            const { code, signal, stderr } = await runNode(args, processes());
            expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
            expect(readdirSync(directory)).toEqual(['file']);
          },
        });
      },
      limitAtScale(30_000),
    );
  },
);

function expectTemporariesOnly(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (name !== 'file') expect(name).toMatch(randomName);
  }
}

async function expectWhole({ scenario, file, made, survivor, where }: Killed): Promise<void> {
  const directory = path.dirname(file);
  const [before, after] = scenario.sizes;
  const copied = scenario.options.copyFallback === 'always';
  const renamed = !copied && wasMade(made, /^renameat/);
  if (copied) {
    const read = await survivor.readRegularFile(file);
    expect(numberOf(Buffer.from(read?.contents ?? '')), where).toBeDefined();
  }
  const is = (number: number, size: number): boolean =>
    readFileSync(file).equals(contentsOf(number, size));
  if (renamed) {
    expect(is(2, after), where).toBe(true);
  } else if (before !== null) {
    expect(is(1, before) || (copied && is(2, after)), where).toBe(true);
    expect(statSync(file).mode & 0o7777, where).toBe(0o640);
  }
  expect(readdirSync(directory).includes('file'), where).toBe(renamed || before !== null);
  expectTemporariesOnly(directory);

  makeOld(directory);
  await survivor.replaceFileSync(file, contentsOf(3, 50), { mode: 0o600 });
  expect(numberOf(readFileSync(file)), where).toBe(3);
  expect(readdirSync(directory), where).toEqual(['file']);
}
