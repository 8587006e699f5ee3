/**
 * What the public verbs make of paths, options, links and files of others: whatever it is, they come to their end soon, with
 * a result, a TypeError or RangeError that says what is wrong, or an error with a code.
 */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import fc from 'fast-check';

import { readJournal } from '../dist-modules/cli/journal-reader.js';
import {
  JobStore,
  inspectLock,
  readRegularFile,
  replaceFileSync,
  tryLockSync,
  updateFileSync,
} from '../dist-modules/index.js';
import { check } from '../dist-modules/proper-lockfile/index.js';

const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-fuzz-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
/** So deep that no text of a link below leads out of it. */
const deep = path.join(scratch, ...Array.from({ length: 30 }, () => 'd'));
const place = (name) => path.join(deep, name);
mkdirSync(deep, { recursive: true });

function clear() {
  for (const name of readdirSync(deep)) rmSync(place(name), { recursive: true, force: true });
}

/** Everything that a call may answer with, but a crash of whatever kind. */
async function answers(call) {
  try {
    return await call();
  } catch (error) {
    assert.ok(error instanceof Error, String(error));
    const told = error.code !== undefined || error.name === 'TypeError';
    // What recurses too deep, or makes too long an array, is a RangeError of the machine's.
    assert.ok(told || /option|must/.test(error.message), error.stack);
    return undefined;
  }
}

const often = (...pieces) =>
  fc
    .array(fc.tuple(fc.constantFrom(...pieces), fc.oneof(fc.nat(3), fc.nat(40), fc.nat(20_000))), {
      maxLength: 6,
    })
    .map((parts) => parts.map(([piece, times]) => piece.repeat(times)).join(''));
const spelling = often('/', '..', '.', '/..', '/.', 'a', '/a', ' ', '\0', '\ud800', '\\', '../');
const linkText = fc
  .array(fc.constantFrom('/', '..', '.', './', '../', 'a', 'b/', '//', ' ', '\n'), {
    maxLength: 20,
  })
  .map((parts) => parts.join('').replace(/^\/+/, ''));

const optionNames = [
  ...['shared', 'timeout', 'signal', 'session', 'lockPath', 'lockFileMode', 'owners', 'failOpen'],
  ...['links', 'parents', 'nested', 'ttl', 'onWait', 'mode', 'keep', 'durability', 'copyFallback'],
  ...['ifMatch', 'createOnly', 'within', 'recursive', 'dirMode', 'requireDirMode', 'tightenDir'],
  ...['maxBytes', 'retry', 'hardLinks', 'journalDir', 'encoding', '__proto__', 'constructor'],
];
const anyOptions = fc.dictionary(
  fc.oneof(fc.constantFrom(...optionNames), fc.string()),
  fc.oneof(fc.anything(), fc.constantFrom(0, 1, -1, 0o600, 'any', 'follow', 'none', 'always', '.')),
  { maxKeys: 4 },
);

/** Bytes with few line ends and much of nothing, as a sparse file has them. */
const fileOf = fc.record({
  pieces: fc.array(
    fc.oneof(fc.constantFrom('"a"\n', '\n', '"', '[', '{"event":"lost"', '}\n'), fc.string()),
    {
      maxLength: 30,
    },
  ),
  size: fc.oneof(fc.constant(0), fc.nat(1 << 12), fc.nat(1 << 23)),
});
function makeFile(name, { pieces, size }) {
  writeFileSync(place(name), pieces.join(''));
  if (size > 0) truncateSync(place(name), size);
}

const nested = fc
  .tuple(fc.constantFrom('[', '{"a":', '[{"a":'), fc.nat(60_000))
  .map(([open, times]) => open.repeat(times) + '1' + (open === '[' ? ']'.repeat(times) : ''));

async function makeJob() {
  clear();
  const store = new JobStore(deep);
  await store.update('job', { status: 'processing' });
  await store.appendLog('job', 'a line');
  return store;
}
const fileOfJob = (ending) =>
  readdirSync(deep).find((name) => name.startsWith('job') && name.endsWith(ending));

export const outside = {
  'path: any spelling': {
    property: [spelling, (text) => answers(() => readRegularFile(text))],
    examples: [26, 28, 40, 20_000].flatMap((times) => [
      [`/a/../${'/'.repeat(times)}b`],
      [`/a/..${'/'.repeat(times)}.b`],
      [`/a/..${'/.'.repeat(times)}b`],
      ['/..'.repeat(times)],
      ['/a'.repeat(times)],
    ]),
  },
  'options: any': {
    property: [
      anyOptions,
      async (options) => {
        clear();
        const file = place('file');
        // Those that wait are given no time.
        const held = await answers(() => tryLockSync(file, options));
        await answers(() => held?.releaseSync?.());
        await answers(() => readRegularFile(file, options));
        await answers(() => inspectLock(file, options));
        await answers(() => replaceFileSync(file, 'x', { retry: 0, ...options }));
        await answers(() => updateFileSync(file, () => 'y', { timeout: 0, ...options }));
      },
    ],
  },
  'links: any text': {
    property: [
      linkText,
      linkText,
      async (one, other) => {
        clear();
        for (const [name, text] of [
          ['one', one],
          ['a', other],
        ]) {
          if (text !== '') symlinkSync(text, place(name));
        }
        const held = await answers(() => tryLockSync(place('one'), { links: 'follow' }));
        await answers(() => held?.releaseSync());
        await answers(() =>
          replaceFileSync(place('one'), 'x', { links: 'follow', durability: 'none' }),
        );
      },
    ],
  },
  'lock file: any': {
    property: [
      fileOf,
      async (file) => {
        clear();
        makeFile('.file.lock', file);
        await answers(() => inspectLock(place('file')));
        const held = await answers(() => tryLockSync(place('file')));
        await answers(() => held?.releaseSync());
      },
    ],
  },
  'job log: any file': {
    property: [
      fileOf,
      fc.boolean(),
      async (file, believed) => {
        const store = await makeJob();
        const log = fileOfJob('.log');
        if (log === undefined) return;
        makeFile(log, file);
        if (believed) {
          // A state that says of the file what it is.
          const state = fileOfJob('.json');
          const text = (await readRegularFile(place(state))).contents.toString();
          const bytes = (await readRegularFile(place(log))).contents.length;
          writeFileSync(place(state), text.replace(/"bytes":\d+/, `"bytes":${bytes}`));
        }
        await answers(() => store.read('job'));
        await answers(() => store.appendLog('job', 'another line'));
      },
    ],
    examples: [[{ pieces: ['\n'], size: 1 << 24 }, true]],
  },
  'job state: any file': {
    property: [
      fc.oneof(
        fileOf,
        nested.map((text) => ({ pieces: [text], size: 0 })),
      ),
      async (file) => {
        const store = await makeJob();
        makeFile(fileOfJob('.json'), file);
        await answers(() => store.read('job'));
        await answers(() => store.list());
        await answers(() => store.prune({ olderThan: 0 }));
      },
    ],
    examples: [[{ pieces: ['['.repeat(20_000) + ']'.repeat(20_000)], size: 0 }]],
  },
  'event log: any file': {
    property: [
      fc.oneof(
        fileOf,
        nested.map((text) => ({ pieces: [text, '\n'], size: 0 })),
      ),
      async (file) => {
        clear();
        makeFile('events', file);
        await answers(async () => {
          for await (const line of readJournal(place('events'))) assert.notEqual(line, undefined);
        });
      },
    ],
  },
  'proper-lockfile: any directory': {
    property: [
      fc.double({ min: -1e10, max: 1e13, noNaN: true }),
      fc.boolean(),
      fileOf,
      async (time, isDirectory, file) => {
        clear();
        makeFile('file', { pieces: [], size: 0 });
        if (isDirectory) mkdirSync(place('file.lock'));
        else makeFile('file.lock', file);
        await answers(() => utimesSync(place('file.lock'), time, time));
        await answers(() => check(place('file')));
        await answers(() => check(place('file'), { stale: time }));
      },
    ],
  },
};
