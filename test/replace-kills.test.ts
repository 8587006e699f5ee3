import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { readRegularFileSync, replaceFileSync } from 'holdfast';
import type { ReplaceSyncOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { contentsOf, numberOf } from './fixtures/numbered-contents.cjs';
import { has, ordinaryUser } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agent.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agent.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';
import type { SystemCall } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { giveTo } from './helpers/users.js';

/** What a replace is doing from the call on that matches; a call of an optional phase need not come. */
interface Phase {
  name: string;
  from: RegExp;
  optional?: true;
}

const renamePhases: Phase[] = [
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

const copyPhases: Phase[] = [
  { name: 'open', from: /openat/ },
  { name: 'create', from: /O_TMPFILE/ },
  { name: 'reserve', from: /fallocate/, optional: true },
  { name: 'write', from: /pwrite64/ },
  { name: 'open target', from: /"file", O_RDWR/ },
  { name: 'create journal', from: /O_TMPFILE/ },
  { name: 'write journal', from: /pread64/ },
  { name: 'flush journal', from: /fsync/ },
  { name: 'link journal', from: /flock/ },
  { name: 'journal written', from: /O_RDONLY\|O_CLOEXEC\|O_DIRECTORY/ },
  { name: 'grow', from: /fallocate/, optional: true },
  { name: 'overwrite', from: /pread64/ },
  { name: 'truncate', from: /ftruncate/, optional: true },
  { name: 'set mode', from: /fchmod/, optional: true },
  { name: 'flush', from: /f(data)?sync/, optional: true },
  { name: 'remove journal', from: /unlinkat/ },
  { name: 'journal removed', from: /fstat/ },
];

/** The phase of each of the calls of a whole replace. */
function phasesOf(calls: SystemCall[], phases: Phase[]): string[] {
  let at = 0;
  return calls.map(({ line }) => {
    const later = phases.slice(at + 1);
    const mandatory = later.findIndex(({ optional }) => !optional);
    const possible = mandatory === -1 ? later : later.slice(0, mandatory + 1);
    const next = possible.findIndex(({ from }) => from.test(line));
    at += next + 1;
    return phases[at]?.name ?? '';
  });
}

interface Scenario {
  name: string;
  options: ReplaceSyncOptions;
  /** Sizes of the contents before and after; null: there is no file before. */
  sizes: readonly [before: number | null, after: number];
  umask: number;
  /** Whether the process, and who comes after it, are an ordinary user. */
  ordinary: boolean;
  /** Whether even its owner may not open the new file. */
  unreadable?: true;
}

const usual = { options: {}, umask: 0o022, ordinary: false } satisfies Partial<Scenario>;
const copy = { copyFallback: 'always' } as const;

const umask0777 = { ...usual, umask: 0o777, ordinary: true };

const renames: Scenario[] = [
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

const copies: Scenario[] = [
  { ...usual, name: 'by a shorter one', options: { ...copy, mode: 0o600 }, sizes: [5000, 3000] },
  { ...usual, name: 'by a longer one', options: copy, sizes: [3000, 700_000] },
  {
    ...usual,
    name: 'by one of the same length, with durability',
    options: { ...copy, durability: 'full' },
    sizes: [4096, 4096],
  },
  { ...umask0777, name: 'umask 0777', options: copy, sizes: [700_000, 100] },
];

function isPossible({ ordinary }: Scenario): boolean {
  return !ordinary || has('ordinaryUser');
}

/** Counts by name, printed as one line. */
class Histogram {
  readonly #counts = new Map<string, number>();

  constructor(names: readonly string[] = []) {
    for (const name of names) this.#counts.set(name, 0);
  }

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  get missing(): string[] {
    return [...this.#counts].filter(([, count]) => count === 0).map(([name]) => name);
  }

  toString(): string {
    return [...this.#counts].map(([name, count]) => `${name} ${count}`).join(', ');
  }
}

describe.runIf(has('strace'))('killed at each system call in turn', () => {
  test(
    'a rename leaves the old file or the new one, and every reader sees it whole',
    () => killAtCalls(renames.filter(isPossible), renamePhases, atScale(2500, 30), expectRenamed),
    limitAtScale(30_000),
  );

  test(
    'a copy leaves the old contents or the new ones to whoever reads by holdfast',
    () => killAtCalls(copies.filter(isPossible), copyPhases, atScale(1000, 18), expectCopied),
    limitAtScale(30_000),
  );
});

/** A place to kill a process at. */
interface Point {
  scenario: Scenario;
  call: SystemCall;
  phase: string;
}

interface Killed {
  scenario: Scenario;
  file: string;
  /** The calls that were made. */
  made: SystemCall[];
  /** Who looks at what is left. */
  survivor: ProcessAgent;
  where: string;
}

async function killAtCalls(
  scenarios: Scenario[],
  phases: Phase[],
  count: number,
  check: (killed: Killed) => Promise<void>,
): Promise<void> {
  await withLockAgents(async (agents) => {
    const survivors = {
      root: await agents.process(),
      ordinary: has('ordinaryUser') ? await agents.process(ordinaryUser) : undefined,
    };
    const points = (
      await Promise.all(scenarios.map((scenario) => pointsOf(agents, scenario, phases)))
    ).flat();
    const chosen = chooseEvenly(points, count);
    const histogram = new Histogram(phases.map(({ name }) => name));
    await inTwos(chosen, async ({ scenario, call, phase }) => {
      const where = `${scenario.name}, killed at ${call.line}`;
      const killThere = (): Promise<boolean> =>
        inDirectory(scenario, async (file) => {
          const fault = `${call.name}:signal=KILL:when=${call.occurrence}`;
          const { calls, exit } = await replaceOnce(agents, scenario, file, [fault]);
          expect(exit, where).toEqual({ code: null, signal: 'SIGKILL' });
          const last = calls.at(-1);
          if (last?.name !== call.name || last.occurrence !== call.occurrence) return false;
          histogram.add(phase);
          const survivor = scenario.ordinary ? survivors.ordinary : survivors.root;
          if (survivor === undefined) throw new Error('There is no ordinary user');
          await check({ scenario, file, made: calls.slice(0, -1), survivor, where });
          return true;
        });
      // Now and then the engine makes a call of the same name first, and is killed at that.
      let there = false;
      for (let tries = 0; tries < 5 && !there; tries++) there = await killThere();
      expect(there, where).toBe(true);
    });
    printFigure(`${count} kills at ${points.length} system calls: ${String(histogram)}`);
    expect(histogram.missing).toEqual([]);
  });
}

async function pointsOf(agents: LockAgents, scenario: Scenario, phases: Phase[]): Promise<Point[]> {
  const { calls } = await withSteadyCalls(() =>
    inDirectory(scenario, async (file) => {
      const once = await replaceOnce(agents, scenario, file, []);
      expect(once.exit, scenario.name).toEqual({ code: 0, signal: null });
      return once;
    }),
  );
  const names = phasesOf(calls, phases);
  return calls.map((call, index) => ({ scenario, call, phase: names[index] ?? '' }));
}

/** `count` of the points, again and again if need be; those that bring a phase not seen yet come first. */
function chooseEvenly(points: Point[], count: number): Point[] {
  const seen = new Map<string, number>();
  const ranked = points.map((point) => {
    const rank = seen.get(point.phase) ?? 0;
    seen.set(point.phase, rank + 1);
    return { point, rank };
  });
  ranked.sort((one, other) => one.rank - other.rank);
  return Array.from({ length: count }, (_, index) => {
    const { point } = ranked[index % ranked.length] ?? {};
    if (point === undefined) throw new Error('There are no system calls');
    return point;
  });
}

/** Lets `use` have a go at every item, two at a time. */
async function inTwos<T>(items: T[], use: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) await use(item);
  };
  await Promise.all([work(), work()]);
}

async function inDirectory<T>(scenario: Scenario, use: (file: string) => Promise<T>): Promise<T> {
  return withTemporaryDirectory(async (directory) => {
    const inside = path.join(directory, 'inside');
    const file = path.join(inside, 'file');
    await mkdir(inside);
    const [before] = scenario.sizes;
    if (before !== null) {
      await writeFile(file, contentsOf(1, before));
      await chmod(file, 0o640);
    }
    if (scenario.ordinary) await giveTo(ordinaryUser, directory);
    return use(file);
  });
}

/** Lets a process give the file its second contents under a tracer. */
async function replaceOnce(
  agents: LockAgents,
  { options, sizes, umask, ordinary }: Scenario,
  file: string,
  faults: string[],
) {
  const args = [file, '2', `${sizes[1]}`, JSON.stringify(options), `${umask}`];
  const child = agents.children.spawnNode(
    ['test/fixtures/replace-once.cjs', ...args],
    ordinary ? ordinaryUser : {},
  );
  await child.waitForOutput(/ready/);
  const { value, calls } = await withFaults(agents.children, child.pid, faults, async () => {
    child.process.stdin?.write('.');
    return child.waitForExit();
  });
  // The engine's own threads go about their business meanwhile.
  return { exit: value, calls: calls.filter(({ thread }) => thread === child.pid) };
}

function wasMade(made: SystemCall[], name: RegExp): boolean {
  return made.some((call) => name.test(call.name));
}

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
  // Whether a process holds the lock on it cannot be asked of a file that may not be opened, so that one stays.
  const stays = scenario.unreadable ? left : [];
  expect(readdirSync(directory), where).toEqual([...stays, 'file']);
}

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

describe('killed at random moments', () => {
  const ways = [
    { options: { durability: 'none' }, form: 'sync' },
    { options: {}, form: 'async' },
    { options: { durability: 'full' }, form: 'sync' },
  ];

  test(
    'a rename leaves the old file or the new one, and every reader sees it whole',
    () => killAtRandom('renames', ways, atScale(2500, 30)),
    limitAtScale(30_000),
  );

  test(
    'a copy leaves the old contents or the new ones to whoever reads by holdfast',
    () =>
      killAtRandom(
        'copies',
        ways.map(({ options, form }) => ({ options: { ...options, ...copy }, form })),
        atScale(1000, 15),
      ),
    limitAtScale(30_000),
  );
});

async function killAtRandom(
  what: 'renames' | 'copies',
  ways: { options: object; form: string }[],
  count: number,
): Promise<void> {
  const histogram = new Histogram();
  await withLockAgents(async ({ children }) => {
    await inTwos(['one', 'other'], async () => {
      await withTemporaryDirectory(async (directory) => {
        const file = path.join(directory, 'file');
        let number = 0;
        replaceFileSync(file, contentsOf(number, 1000));
        for (let kill = 0; kill < count / 2; kill++) {
          const { options, form } = ways[kill % ways.length] ?? {};
          const args = [file, `${number + 1}`, JSON.stringify(options), String(form)];
          const child = children.spawnNode(['test/fixtures/replace-endlessly.cjs', ...args]);
          await child.waitForOutput(/ready/);
          await sleep(Math.random() * 10);
          child.kill('SIGKILL');
          expect(await child.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });

          histogram.add(describeLeft(directory));
          if (what === 'renames') expect(numberOf(readFileSync(file))).toBeGreaterThan(number);
          const found = numberOf(readRegularFileSync(file)?.contents ?? Buffer.alloc(0));
          // Not the one that the process has found there: it has replaced that.
          expect(found).toBeGreaterThan(number);
          expect(numberOf(readFileSync(file))).toBe(found);
          number = (found ?? 0) + 1;
          if (what === 'copies') expect(readdirSync(directory)).toEqual(['file']);
          replaceFileSync(file, contentsOf(number, 1000));
          expect(readdirSync(directory)).toEqual(['file']);
        }
      });
    });
  });
  printFigure(`${count} kills of ${what} at random moments: ${String(histogram)}`);
}

/** What a kill has left, before anybody makes it good. */
function describeLeft(directory: string): string {
  const names = readdirSync(directory).filter((name) => name !== 'file');
  const kinds = names.map((name) => (name.endsWith('.journal') ? 'a journal' : 'a temporary file'));
  const whole = numberOf(readFileSync(path.join(directory, 'file'))) !== undefined;
  return [whole ? 'whole' : 'torn', ...kinds].join(' with ');
}
