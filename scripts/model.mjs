// Has spin check the lock protocol with ttl and take-over (model/lock.pml): every property must hold in the protocol, on
// POSIX and on Windows, and every mistake that the model can be given must be found.
//
//   npm run model                           three clients in all mixes, and the mistakes
//   npm run model -- --four                 four clients instead, which takes minutes and 2 GB
//   npm run model -- --trace MISTAKE_NAME   the steps of one counterexample, in words of the model; `--windows` for that half
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { inParallel } from './in-parallel.mjs';

const run = promisify(execFile);
const model = path.join(import.meta.dirname, '..', 'model', 'lock.pml');
const maxBuffer = 1 << 28;
const systems = ['POSIX', 'Windows'];

const pair = ['WITH_TTL', 'WITH_TTL', 'PLAIN'];
const readers = ['WITH_TTL', 'SHARED', 'SHARED'];
const withOutsider = ['WITH_TTL', 'WITH_TTL', 'OUTSIDER'];
const mixes = [
  pair,
  readers,
  ['WITH_TTL', 'WITH_TTL', 'WITH_TTL'],
  ['WITH_TTL', 'WITH_TTL', 'SHARED'],
  ['WITH_TTL', 'PLAIN', 'SHARED'],
  withOutsider,
];
const four = [['WITH_TTL', 'WITH_TTL', 'PLAIN', 'SHARED']];

/** The mistakes, with clients among whom each does harm, and the systems on which it is one. */
const mistakes = [
  ['TAKE_OVER_WITHOUT_GUARD', pair, systems],
  ['TAKE_OVER_UNCHECKED', pair, systems],
  ['TAKES_FROM_CLEARED_RECORD', withOutsider, systems],
  ['TAKES_FROM_THE_DEAD', withOutsider, systems],
  ['PUBLISHES_UNLOCKED', pair, systems],
  ['COMPARES_RECORD_ONLY', readers, systems],
  ['COMPARES_SIGN_ONLY', pair, systems],
  ['NEVER_TAKES_OVER', readers, systems],
  // On POSIX the check before a take-over finds the new file as well, only later.
  ['WAITS_WITHOUT_LOOKING', pair, ['Windows']],
  ['ENTERS_UNCHECKED', pair, systems],
  ['GRANT_WITHOUT_GUARD', pair, systems],
  // On Windows a holder with a ttl clears its record under the guard, so that nobody finds it cleared too early.
  ['GRANT_ON_CLEARED_WITHOUT_GUARD', pair, ['POSIX']],
  ['CLEARING_FORGETS_TTL', pair, ['POSIX']],
  // On POSIX a robbed holder's record is on a file of its own, where it harms nobody.
  ['CLEARS_WITHOUT_GUARD', pair, ['Windows']],
  ['CLEARS_UNCHECKED', pair, ['Windows']],
  ['SHARED_LEAVES_RECORD', readers, systems],
  ['UNTOLD_WITH_TTL_OF_PREDECESSOR', readers, systems],
  ['COMMIT_WITHOUT_GUARD', readers, systems],
  ['COMMIT_UNCHECKED', readers, systems],
  ['REFRESH_WAITS_FOR_GUARD', readers, systems],
  ['LATE_REFRESH_WITHOUT_GUARD', readers, systems],
].map(([name, clients, where]) => ({ mistake: `MISTAKE_${name}`, clients, where }));

function definitions({ clients, system, mistake }) {
  const places = ['FIRST', 'SECOND', 'THIRD', 'FOURTH'];
  const defined = clients.map((kind, index) => `-D${places[index]}=${kind}`);
  if (system === 'Windows') defined.push('-DWINDOWS');
  if (mistake) defined.push(`-D${mistake}`);
  return defined;
}

/** What the checker says of one model, checked exhaustively unless a counterexample ends it. */
async function check(job, use = () => undefined) {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-model-'));
  try {
    const inside = { cwd: directory, maxBuffer };
    await run('spin', ['-a', ...definitions(job), model], inside);
    // `provided` rules partial order reduction out.
    const flags = [job.mistake ? '-O1' : '-O2', '-DSAFETY', '-DNOREDUCE', '-DCOLLAPSE'];
    await run('gcc', [...flags, '-DMEMLIM=4096', '-w', '-o', 'pan', 'pan.c'], inside);
    // -E: a client that was killed stands still in the middle. What is an invalid end, check_progress says.
    const { stdout } = await run('./pan', ['-m100000', '-E'], inside);
    await use(directory);
    return verdictOf(stdout);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function verdictOf(output) {
  const states = Number(/(\d+) states, stored/.exec(output)?.[1] ?? NaN);
  const violated = /^pan:\d+: assertion violated (.*) \(at depth \d+\)$/m.exec(output);
  if (violated) return { states, found: violated[1] };
  const complete =
    /errors: 0$/m.test(output) && !/Search not completed|max search depth/.test(output);
  if (!complete) throw new Error(`the checker did not finish:\n${output}`);
  return { states, found: null };
}

/** Prints the steps of the counterexample that a check has left in `directory`. */
async function printTrace(job, directory) {
  const trail = path.join(directory, 'lock.pml.trail');
  const { stdout } = await run('spin', ['-k', trail, '-t', '-p', ...definitions(job), model], {
    cwd: directory,
    maxBuffer,
  }).catch((error) => error); // spin's exit code counts errors in the trace
  const source = (await readFile(model, 'utf8')).split('\n');
  for (const line of stdout.split('\n')) {
    const step = /proc +(\d+) \((\w+):1\).*lock\.pml:(\d+) \(state \d+\)\t\[(.*)\]$/.exec(line);
    if (!step) continue;
    const [, process, type, number, statement] = step;
    const who = type === 'Client' ? `client ${process - 1}` : type;
    const text = source[number - 1]?.trim().slice(0, 70);
    if (/^(\(1\)|else|IF|DO|break|\.?\(?goto.*|sub-sequence)$/.test(statement)) continue;
    if (/\b(one|other|observer)\b/.test(statement)) continue;
    console.log(`${who.padEnd(10)} ${statement.padEnd(50)} ${number}: ${text}`);
  }
}

const inWords = { WITH_TTL: 'ttl', PLAIN: 'plain', SHARED: 'shared', OUTSIDER: 'outsider' };

function report(job, { states, found }, seconds) {
  const expected = job.mistake ? found !== null : found === null;
  const name = job.mistake?.slice('MISTAKE_'.length) ?? 'the protocol';
  const columns = [
    expected ? 'ok  ' : 'FAIL',
    job.system.padEnd(7),
    name.toLowerCase().replaceAll('_', ' ').padEnd(38),
    job.clients
      .map((kind) => inWords[kind])
      .join(' ')
      .padEnd(22),
    states.toLocaleString('en').padStart(11),
    `${seconds.toFixed(1)} s`.padStart(8),
    found === null ? 'holds' : `refuted: ${found.replaceAll(/\s+/g, ' ').slice(0, 60)}`,
  ];
  console.log(columns.join('  '));
  return expected;
}

async function checkAll(jobs) {
  const asExpected = await inParallel(jobs, async (job) => {
    const start = performance.now();
    const verdict = await check(job);
    return report(job, verdict, (performance.now() - start) / 1000);
  });
  const unexpected = asExpected.filter((expected) => !expected).length;
  console.log(`${jobs.length} checked, ${unexpected || 'none'} otherwise than expected`);
  return unexpected === 0;
}

const { values } = parseArgs({
  options: {
    four: { type: 'boolean' },
    trace: { type: 'string' },
    windows: { type: 'boolean' },
  },
});

for (const [command, argument] of [
  ['spin', '-V'],
  ['gcc', '--version'],
]) {
  await run(command, [argument]).catch(() => {
    console.error(`error: ${command} is not installed (Debian: apt-get install ${command})`);
    process.exit(1);
  });
}

if (values.trace !== undefined) {
  const job = mistakes.find(({ mistake }) => mistake === values.trace);
  if (job === undefined) throw new Error(`no such mistake: ${values.trace}`);
  const traced = { ...job, system: values.windows ? 'Windows' : 'POSIX' };
  const { found } = await check(traced, (directory) => printTrace(traced, directory));
  console.log(found === null ? 'no counterexample' : `violated: ${found}`);
} else {
  const protocols = (values.four ? four : mixes).flatMap((clients) =>
    systems.map((system) => ({ clients, system })),
  );
  const seeded = mistakes.flatMap(({ where, ...job }) =>
    where.map((system) => ({ ...job, system })),
  );
  const passed = await checkAll(values.four ? protocols : [...protocols, ...seeded]);
  process.exitCode = passed ? 0 : 1;
}
