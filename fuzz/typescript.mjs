/**
 * What the compiled TypeScript makes of texts and bytes that anybody may have written. Each property is about one function
 * and any input; the inputs are made by chance, from the pieces that the function looks for. `npm run build:modules` compiles
 * each source to a file of its own, which dist/ has not.
 */
import assert from 'node:assert/strict';
import { Session } from 'node:inspector/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';

import fc from 'fast-check';

import { parseState, stateText } from '../dist-modules/jobs/format.js';
import { encodeLine } from '../dist-modules/jobs/log.js';
import { idOfName, jobNameOfLog, jobNameOfState, logNameOf } from '../dist-modules/jobs/names.js';
import { toJournalLine } from '../dist-modules/journal-line.js';
import { beside } from '../dist-modules/links.js';
import { native } from '../dist-modules/native.js';
import { toPrintableJson } from '../dist-modules/printable.js';
import { describeHolder, holderOf } from '../dist-modules/record.js';
import { safeFileName, sanitizeSessionId, sessionIdentity } from '../dist-modules/sanitize.js';
import { formatSessionFile, parseSessionFile } from '../dist-modules/session-file.js';
import { resolveOnWindows } from '../dist-modules/windows-path.js';
import { bounded, mostMebibytes, mostSeconds } from './bounds.mjs';
import { outside } from './outside.mjs';

const built = fileURLToPath(new URL('../dist-modules/', import.meta.url));

/** Texts of pieces that mean something to somebody, and of anything. */
const textOf = (...pieces) =>
  fc
    .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 6 })), {
      maxLength: 12,
    })
    .map((parts) => parts.join(''));

const anyId = textOf('..', '/', '\\', '\0', '\n', '\ud800', '\u202e', 'CON', 'a', '-', '.lock');
const anyPath = textOf(
  '\\',
  '/',
  '..',
  '.',
  'C:',
  '\\\\?\\',
  '\\\\server\\share',
  'UNC',
  'nul',
  ':',
  ' ',
);
const sessionFile = textOf(
  ...['holdfast_session=1\n', 'session_id=', 'session_hash=', 'created_at=', 'renewed_at=', 'ttl='],
  ...['token=', 'pid=', 'host=', '1', '0', '9007199254740993', '\n', '=', '../', '\u0085', ' '],
);
const count = fc.maxSafeNat();
const anyField = textOf('0', '1', '9007199254740991', 'a', '-', '\u0080', ' ');

/** A record with these fields, and a check sum that is right. */
function recordOf(fields) {
  const lines = Object.entries(fields).map(([key, value]) => `${key}=${value}\n`);
  const text = `holdfast lock 1\n${lines.join('')}`;
  const sum = crc32(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0');
  const block = Buffer.alloc(1024, ' ');
  block.write(`${text}sum=${sum}\n`, 'latin1');
  block[block.length - 1] = 0x0a;
  return block;
}

const fields = fc.record({
  status: fc.constantFrom('processing', 'completed', 'failed'),
  progress_pct: fc.integer({ min: 0, max: 100 }),
});

/** Whether a name is one name, and stays in its directory, everywhere. */
function assertHarmless(name) {
  assert.match(name, /^[a-z0-9_-]{1,64}$/);
  assert.doesNotMatch(name, /^(con|prn|aux|nul|com\d|lpt\d)$/);
}

const isRefusal = (error) => error.code === 'ECORRUPT';

const inputs = (...parts) => parts;
const properties = {
  'sanitize: harmless, and twice is once': inputs(anyId, (id) => {
    const clean = sanitizeSessionId(id);
    assert.match(clean, /^[A-Za-z0-9_-]+$/);
    assert.equal(sanitizeSessionId(clean), clean);
    const kept = sessionIdentity(id);
    if (kept !== null) assert.match(`${kept.id} ${kept.hash}`, /^[\w-]{1,128} [0-9a-f]{64}$/);
  }),
  'sanitize: anything at all': inputs(fc.anything(), (value) => {
    assert.match(sanitizeSessionId(value), /^[A-Za-z0-9_-]+$/);
  }),
  'safe file name: one for each id': inputs(anyId, anyId, (one, other) => {
    assertHarmless(safeFileName(one));
    assert.equal(safeFileName(one) === safeFileName(other), one === other);
  }),
  'session file: any bytes': inputs(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
    const { state } = parseSessionFile(bytes);
    assert.match(state, /^(valid|malformed)$/);
  }),
  'session file: fields in any order and number': inputs(sessionFile, (text) => {
    const parsed = parseSessionFile(Buffer.from(`holdfast_session=1\n${text}`));
    if (parsed.state !== 'valid') return;
    const { record } = parsed;
    assert.ok(record.session === null || /^[\w-]{1,128}$/.test(record.session));
    assert.ok(Number.isSafeInteger(record.token) && record.ttl > 0);
    assert.ok(!Number.isNaN(record.createdAt.getTime()));
    const again = parseSessionFile(Buffer.from(formatSessionFile(record)));
    assert.deepEqual(again, { state: 'valid', record, sessionRejected: false });
  }),
  'job state: any text': inputs(fc.oneof(fc.json(), textOf('{', '"', '}')), (text) => {
    assert.throws(() => parseState(Buffer.from(text), 'job', '/job.json'), isRefusal);
  }),
  'job state: written and read': inputs(anyId, count, count, fields, (id, a, b, more) => {
    if (id === '') return;
    const name = safeFileName(id);
    const log = { file: logNameOf(name, b), bytes: a, lines: b };
    const state = { id, revision: a, updatedAt: b, log, fields: { ...more, logs: undefined } };
    delete state.fields.logs;
    if (more.status !== 'processing') state.fields.result = 'x';
    let read;
    try {
      read = parseState(Buffer.from(stateText(state)), name, '/job.json');
    } catch (error) {
      assert.ok(isRefusal(error), String(error));
      return;
    }
    assert.equal(read.id, id);
    assert.equal(read.log.file, log.file);
  }),
  'job state: fields of any kind': inputs(
    fc.record(
      {
        holdfast_job: fc.oneof(fc.constant(1), fc.anything()),
        id: fc.oneof(fc.constant('job'), anyId, fc.anything()),
        revision: fc.oneof(count, fc.anything()),
        updated_at: fc.oneof(count, fc.anything()),
        log: fc.oneof(
          fc.constant({ file: null, bytes: 0, lines: 0 }),
          fc.record({ file: anyId, bytes: count, lines: count }),
        ),
        fields: fc.oneof(fields, fc.dictionary(fc.string(), fc.jsonValue())),
      },
      { requiredKeys: [] },
    ),
    (value) => {
      let state;
      try {
        const text = JSON.stringify(value, (_key, one) => (typeof one === 'bigint' ? 0 : one));
        state = parseState(Buffer.from(text), 'job', '/job.json');
      } catch (error) {
        assert.ok(isRefusal(error), String(error));
        return;
      }
      assert.equal(state.id, 'job');
      assert.ok(state.log.file === null || /^job\.\d+\.log$/.test(state.log.file));
    },
  ),
  'job names: what is read is what was written': inputs(anyId, count, (id, token) => {
    const name = safeFileName(id);
    assert.equal(jobNameOfLog(logNameOf(name, token)), name);
    assert.equal(jobNameOfState(`${name}.json`), name);
    const told = idOfName(name);
    if (told !== null) assert.equal(safeFileName(told), name);
    for (const found of [jobNameOfLog(id), jobNameOfState(id)]) {
      if (found !== null) assert.match(found, /^[a-z0-9_-]{1,64}$/);
    }
  }),
  'job log: any line is one line': inputs(textOf('\n', '\r', '"', '\\', '\u2028'), (line) => {
    const encoded = encodeLine(line);
    assert.equal(encoded.indexOf('\n'), encoded.length - 1);
    assert.equal(JSON.parse(encoded), line);
  }),
  'journal line: any text is one line that prints': inputs(
    textOf('\n', '\u001b[2J', '\u202e', '\u2028', '\u0085', '"', '\\', '\ud83d\ude00'),
    (text) => {
      const line = toJournalLine('lost', { target: text, lockPath: text, token: 1, reason: text });
      assert.equal(line.indexOf('\n'), line.length - 1);
      assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.equal(JSON.parse(line).target, text);
    },
  ),
  'printable JSON: says what JSON says': inputs(fc.jsonValue(), (value) => {
    assert.deepEqual(JSON.parse(toPrintableJson(value)), JSON.parse(JSON.stringify(value)));
  }),
  'record: from bytes to a message': inputs(
    fc.record(
      {
        pid: fc.oneof(fc.constant(1), fc.maxSafeNat(), anyField),
        host: fc.oneof(fc.constant('host'), anyField),
        start_token: anyField,
        session_id: anyField,
        session_hash: anyField,
        acquired_at: fc.oneof(fc.constant(Number.MAX_SAFE_INTEGER), fc.maxSafeNat(), anyField),
        token: fc.oneof(fc.maxSafeNat(), fc.nat()),
        ttl: fc.oneof(fc.maxSafeNat(), anyField),
        epoch: fc.oneof(fc.maxSafeNat(), anyField),
      },
      { requiredKeys: ['pid', 'host', 'acquired_at', 'token'] },
    ),
    (fields) => {
      const record = native.parseRecord(recordOf(fields), 1024);
      const holder = holderOf(record, '/lock');
      assert.equal(holder === null, record.pid === 0);
      assert.equal(typeof describeHolder(holder), 'string');
      assert.equal(typeof JSON.stringify(holder), 'string');
    },
  ),
  'Windows path: once is enough, and no name is a device': inputs(anyPath, (text) => {
    const resolved = resolveOnWindows(text, 'C:\\directory');
    if ('problem' in resolved) {
      assert.match(resolved.problem, /^must /);
      return;
    }
    assert.deepEqual(resolveOnWindows(resolved.path, 'D:\\elsewhere'), resolved);
    // Behind a drive, or a server and a share: those are for the system to find, or not.
    const root = /^(?:\\\\\?\\UNC\\|\\\\(?!\?))[^\\]+\\[^\\]+\\|^(?:\\\\\?\\)?[^\\]+\\/i;
    const names = resolved.path.replace(root, '').split('\\');
    assert.doesNotMatch(names.at(-1), /^(con|prn|aux|nul|com\d|lpt\d) *(\.|$)/i);
    assert.ok(!names.includes('..'));
    for (const name of names) assert.doesNotMatch(name, /:|[ .]$/);
  }),
  'beside: the same directory': inputs(anyId, (text) => {
    const name = safeFileName(text);
    assert.equal(path.dirname(beside('/a/b', name)), '/a');
    assert.equal(path.dirname(beside('/b', name)), '/');
  }),
};

/** Tries each property that is `chosen` for its share of the time; hands back rows of a table, and what all have covered. */
export async function runProperties(chosen, milliseconds) {
  const names = [...Object.keys(properties), ...Object.keys(outside)].filter(chosen);
  const rows = [];
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  for (const name of names) rows.push(await runProperty(name, milliseconds / names.length));
  const { result } = await session.post('Profiler.takePreciseCoverage');
  session.disconnect();
  return { rows, coverage: coverageOf(result) };
}

async function runProperty(name, milliseconds) {
  const worst = { seconds: 0, mebibytes: 0 };
  const { property, examples } = outside[name] ?? { property: properties[name] };
  const details = await fc.check(boundedProperty(name, property, worst), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: milliseconds,
    markInterruptAsFailure: false,
    ...(examples === undefined ? {} : { examples }),
  });
  if (details.failed) console.error(`${name}:\n${fc.defaultReportMessage(details).slice(0, 4000)}`);
  return {
    target: name,
    executions: details.numRuns,
    seconds: Math.round(milliseconds / 100) / 10,
    coverage: '',
    corpus: examples?.length ?? '',
    slowest: `${worst.seconds.toFixed(2)} of ${mostSeconds} s`,
    largest: `${Math.round(worst.mebibytes)} of ${mostMebibytes} MiB`,
    // One that was interrupted before its first input has found nothing.
    found: details.failed && details.counterexample !== null ? 'a counterexample' : 'nothing',
  };
}

/** Each is a list of what makes inputs, with a predicate at its end. */
function boundedProperty(name, parts, worst) {
  return fc.asyncProperty(...parts.slice(0, -1), bounded(name, parts.at(-1), worst));
}

/** How much of the files that are looked at was run. */
function coverageOf(scripts) {
  const files = [
    'session-file',
    'sanitize',
    'windows-path',
    'journal-line',
    'jobs/format',
    'jobs/names',
  ];
  return files
    .map((file) => {
      const url = new URL(`../dist-modules/${file}.js`, import.meta.url).href;
      const functions = scripts.find((script) => script.url === url)?.functions ?? [];
      const blocks = functions.flatMap(({ ranges }) => ranges);
      const run = blocks.filter(({ count: times }) => times > 0).length;
      return `${path.relative(built, fileURLToPath(url))} ${run} of ${blocks.length} blocks`;
    })
    .join(', ');
}
