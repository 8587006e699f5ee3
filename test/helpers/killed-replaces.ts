import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ReplaceSyncOptions } from 'holdfast';
import { expect } from 'vitest';

import { contentsOf, numberOf } from '../fixtures/numbered-contents.cjs';
import { has } from './capabilities.js';
import type { ChildOptions } from './child.js';
import { Histogram } from './histogram.js';
import { inTwos } from './in-twos.js';
import { makeOld, randomNameOf } from './leftovers.js';
import { withLockAgents } from './lock-agents.js';
import type { LockAgents, ProcessAgent } from './lock-agents.js';
import { ordinaryUser } from './ordinary-user.js';
import { printFigure } from './scale.js';
import { withFaults, withSteadyCalls } from './system-call-faults.js';
import type { SystemCall } from './system-call-faults.js';
import { withTemporaryDirectory } from './temporary-directory.js';
import { withoutUnnamedFiles } from './unnamed-files.js';
import { giveTo } from './users.js';

/** What a replace is doing from the call on that matches; a call of an optional phase need not come. */
export interface Phase {
  name: string;
  from: RegExp;
  optional?: true;
}

/** A replace that is killed. */
export interface Scenario {
  name: string;
  options: ReplaceSyncOptions;
  /** Sizes of the contents before and after; null: there is no file before. */
  sizes: readonly [before: number | null, after: number];
  umask: number;
  /** Whether the process, and who comes after it, are an ordinary user. */
  ordinary: boolean;
  /** Whether even its owner may not open the new file. */
  unreadable?: true;
  /** Whether there are no unnamed files, neither for the process nor for who comes after it. */
  named?: true;
  /** Whether there is a temporary file of a process that died a while ago. */
  leftover?: true;
}

export const usual = { options: {}, umask: 0o022, ordinary: false } satisfies Partial<Scenario>;
export const umask0777 = { ...usual, umask: 0o777, ordinary: true } satisfies Partial<Scenario>;
export const copying = { copyFallback: 'always' } as const;

/** A place to kill a process at. */
interface Point {
  scenario: Scenario;
  call: SystemCall;
  phase: string;
}

/** What a killed process leaves. */
export interface Killed {
  scenario: Scenario;
  file: string;
  /** The calls that were made. */
  made: SystemCall[];
  /** Who looks at what is left. */
  survivor: ProcessAgent;
  where: string;
}

/**
 * Kills a process at `count` of the system calls that the scenarios make, so that every phase is hit, and lets `check` look
 * at what each leaves.
 */
export async function killAtCalls(
  scenarios: readonly Scenario[],
  phases: readonly Phase[],
  count: number,
  check: (killed: Killed) => Promise<void>,
): Promise<void> {
  await withLockAgents(async (agents) => {
    const possible = scenarios.filter(({ ordinary }) => !ordinary || has('ordinaryUser'));
    const survivors = new Map<string, ProcessAgent>();
    for (const scenario of possible) {
      const name = survivorOf(scenario);
      if (!survivors.has(name)) {
        survivors.set(name, await agents.process(processOptions(scenario)));
      }
    }
    const points = (
      await Promise.all(possible.map((scenario) => pointsOf(agents, scenario, phases)))
    ).flat();
    const histogram = new Histogram(phases.map(({ name }) => name));
    await inTwos(chooseEvenly(points, count), async ({ scenario, call, phase }) => {
      const where = `${scenario.name}, killed at ${call.line}`;
      const killThere = (): Promise<boolean> =>
        inDirectory(scenario, async (file) => {
          const fault = `${call.name}:signal=KILL:when=${call.occurrence}`;
          const { calls, exit } = await replaceOnce(agents, scenario, file, [fault]);
          expect(exit, where).toEqual({ code: null, signal: 'SIGKILL' });
          const last = calls.at(-1);
          if (last?.name !== call.name || last.occurrence !== call.occurrence) return false;
          histogram.add(phase);
          const survivor = survivors.get(survivorOf(scenario));
          if (survivor === undefined) throw new Error(`Nobody survives ${where}`);
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

/** Those with equal ones have the same survivor. */
function survivorOf({ ordinary, named }: Scenario): string {
  return `${ordinary ? 'ordinary' : 'root'}${named ? ', named' : ''}`;
}

function processOptions({ ordinary, named }: Scenario): ChildOptions {
  const identity = ordinary ? ordinaryUser : undefined;
  return named ? withoutUnnamedFiles(identity) : { ...identity };
}

async function pointsOf(
  agents: LockAgents,
  scenario: Scenario,
  phases: readonly Phase[],
): Promise<Point[]> {
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

/** The phase of each of the calls of a whole replace. */
function phasesOf(calls: readonly SystemCall[], phases: readonly Phase[]): string[] {
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

/** `count` of the points, again and again if need be; those that bring a phase not seen yet come first. */
function chooseEvenly(points: readonly Point[], count: number): Point[] {
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
    if (scenario.leftover) {
      await writeFile(path.join(inside, randomNameOf(1)), 'left behind');
      makeOld(inside);
    }
    if (scenario.ordinary) await giveTo(ordinaryUser, directory);
    return use(file);
  });
}

/** Lets a process give the file its second contents under a tracer. */
async function replaceOnce(
  agents: LockAgents,
  scenario: Scenario,
  file: string,
  faults: readonly string[],
) {
  const { options, sizes, umask } = scenario;
  const args = [file, '2', `${sizes[1]}`, JSON.stringify(options), `${umask}`];
  const child = agents.children.spawnNode(
    ['test/fixtures/replace-once.cjs', ...args],
    processOptions(scenario),
  );
  await child.waitForOutput(/ready/);
  const { value, calls } = await withFaults(agents.children, child.pid, faults, async () => {
    child.process.stdin?.write('.');
    return child.waitForExit();
  });
  // The engine's own threads go about their business meanwhile.
  return { exit: value, calls: calls.filter(({ thread }) => thread === child.pid) };
}

/** Whether one of the calls has such a name. */
export function wasMade(made: readonly SystemCall[], name: RegExp): boolean {
  return made.some((call) => name.test(call.name));
}

/** What a kill has left in `directory`, before anybody makes it good. */
export function describeLeft(directory: string): string {
  const names = readdirSync(directory).filter((name) => name !== 'file');
  const whole = numberOf(readFileSync(path.join(directory, 'file'))) !== undefined;
  const undoFiles = names.filter((name) => name.endsWith('.undo'));
  return [
    whole ? 'whole' : 'torn',
    ...(undoFiles.length > 0 ? ['an undo file'] : []),
    ...(names.length > undoFiles.length ? ['temporary files'] : []),
  ].join(' with ');
}
