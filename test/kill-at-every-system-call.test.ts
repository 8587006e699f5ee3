import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { ChildExit } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { deadHolder, recordOf, recordSize } from './helpers/record.js';
import { limitAtScale, printFigure, stress } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { betweenMarks, ofTheEngine, traceCalls, withoutRepeats } from './helpers/traced-calls.js';
import type { Call } from './helpers/traced-calls.js';
import { giveTo } from './helpers/users.js';

interface Scenario {
  name: string;
  /** What the lock file holds at first; null: there is none. */
  record: Buffer | null;
  /** Whom that names. */
  before: number | null;
  options: { shared?: boolean };
  form: 'lock' | 'lockSync';
  /** Somebody holds the lock at first and releases it when the process waits. */
  contended: boolean;
  umask: number;
  /** System calls that this system is made to lack. */
  lacking: string[];
}

const fresh = {
  record: null,
  before: null,
  options: {},
  form: 'lockSync',
  contended: false,
  umask: 0o777,
  lacking: [],
} satisfies Omit<Scenario, 'name'>;
const released = recordOf({ token: deadHolder.token });
const unreleased = { record: recordOf(deadHolder), before: deadHolder.pid };

const scenarios: Scenario[] = [
  { ...fresh, name: 'of a lock that is new' },
  { ...fresh, name: 'of a lock that is new, under an ordinary umask', umask: 0o022 },
  { ...fresh, name: 'of a lock that is new, without linkat()', lacking: ['linkat'] },
  { ...fresh, name: 'of a lock that was released', record: released },
  { ...fresh, name: 'of a lock whose holder died', ...unreleased },
  { ...fresh, name: 'of a shared lock', record: released, options: { shared: true } },
  {
    ...fresh,
    name: 'of a shared lock after one that died',
    ...unreleased,
    options: { shared: true },
  },
  { ...fresh, name: 'of a lock that it waited for', form: 'lock', contended: true },
  {
    ...fresh,
    name: 'of a shared lock that it waited for',
    form: 'lock',
    contended: true,
    options: { shared: true },
  },
];

const user = has('ordinaryUser') ? ordinaryUser : undefined;

describe.runIf(has('straceAttach'))(
  'a process that is killed at a system call leaves a usable lock',
  () => {
    test.each(scenarios.map((scenario, index) => [scenario.name, scenario, index] as const))(
      '%s',
      async (_name, scenario, index) => {
        await withTemporaryDirectory(
          async (directory) =>
            withLockAgents(async (agents) => {
              const survivor = await agents.process({ ...user });
              const whole = await trace(
                agents,
                survivor,
                path.join(directory, 'whole'),
                scenario,
                null,
              );
              expect(whole.exit).toEqual({ code: 0, signal: null });
              const points = withoutRepeats(
                betweenMarks(whole.calls).filter(({ name }) => !ofTheEngine.test(name)),
              );
              expect(points.map(({ name }) => name)).toEqual(
                expect.arrayContaining(['openat', 'flock', 'close']),
              );
              const chosen = points.filter((_, at) => stress || at % 8 === index % 8);
              for (const [at, point] of chosen.entries()) {
                await killAt(agents, survivor, path.join(directory, `${at}`), scenario, point);
              }
              printFigure(
                `killed at ${chosen.length} of the ${points.length} system calls ${scenario.name}`,
              );
            }),
          user && { owner: user },
        );
      },
      limitAtScale(30_000),
    );
  },
);

async function killAt(
  agents: LockAgents,
  survivor: ProcessAgent,
  directory: string,
  scenario: Scenario,
  point: Call,
): Promise<void> {
  const { calls, exit, pid } = await trace(agents, survivor, directory, scenario, point);
  const where = `killed at ${point.line}`;
  expect(exit, where).toEqual({ code: null, signal: 'SIGKILL' });
  // The call at which it was killed was not made any more.
  const end = calls.findIndex(
    ({ name, occurrence }) => name === point.name && occurrence === point.occurrence,
  );
  expect(end, where).toBeGreaterThanOrEqual(0);
  expect(
    calls.findLast(({ thread }) => thread === calls[end]?.thread),
    where,
  ).toBe(calls[end]);
  const made = calls.slice(0, end);
  expect(made.some(({ line }) => line.includes('holdfast-mark-begin'))).toBe(
    !point.line.includes('holdfast-mark-begin'),
  );

  const left = await readdir(directory);
  const names = scenario.lacking.length === 0 ? /^\.data\.lock(\.guard)?$/ : /\.(lock|tmp)$/;
  expect(
    left.filter((name) => !names.test(name)),
    where,
  ).toEqual([]);

  const target = path.join(directory, 'data');
  const named = lastWriter(made, pid, scenario.before);
  const next = await survivor.lock(target, { timeout: 10_000 });
  expect(next.previousHolder?.pid ?? null, where).toBe(named);
  await next.verify();
  const { mode, size } = await stat(next.lockPath);
  expect({ mode: mode & 0o7777, size }, where).toEqual({ mode: 0o600, size: recordSize });
  await next.release();
  const shared = await survivor.lockSync(target, { shared: true, timeout: 10_000 });
  expect(shared.previousHolder, where).toBeNull();
  await shared.release();
}

/** Whom the record names after these calls of process `pid`. */
function lastWriter(calls: Call[], pid: number, before: number | null): number | null {
  const opened = calls.map(
    ({ line }) => /^openat\(\d+, "\.data\.lock", .* = (\d+)$/.exec(line)?.[1],
  );
  const descriptor = opened.findLast((number) => number !== undefined);
  const write = calls.findLast(({ line }) => line.startsWith(`pwrite64(${descriptor}, `));
  if (write === undefined) return before;
  return write.line.includes('pid=') ? pid : null;
}

interface Trace {
  pid: number;
  exit: ChildExit;
  /** The system calls: of every thread where one waits for the lock, and enters it. */
  calls: Call[];
}

/** Lets a process acquire and release in `directory`, killed when it is about to make the call `point`. */
async function trace(
  agents: LockAgents,
  survivor: ProcessAgent,
  directory: string,
  scenario: Scenario,
  point: Call | null,
): Promise<Trace> {
  const { record, options, form, contended, umask, lacking } = scenario;
  await mkdir(directory);
  if (record) await writeFile(path.join(directory, '.data.lock'), record, { mode: 0o600 });
  await giveTo(user, directory);

  const target = path.join(directory, 'data');
  const held = contended ? await survivor.lock(target) : null;
  const args = [form, target, JSON.stringify(options), `${umask}`];
  const child = agents.children.spawnNode(['test/fixtures/acquire-and-release.cjs', ...args], user);
  await child.waitForOutput(/ready/);

  const faults = lacking.map((name) => `${name}:error=ENOSYS`);
  const traced = await traceCalls(agents.children, child, `${directory}.log`, point, {
    faults,
    everyThread: contended,
  });

  child.process.stdin?.write('.');
  if (held) {
    // It may be killed before it waits.
    await child.waitForOutput(/waiting/).catch(() => undefined);
    await held.release();
  }
  const exit = await child.waitForExit();
  return { pid: child.pid, exit, calls: await traced() };
}
