// A machine on which some processes have moved to this package and others have not.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import type { Child, ChildMessage, Children } from '../helpers/child.js';
import { withChildren } from '../helpers/child.js';
import type { Whose } from '../helpers/lockfile-agent.js';
import { withLockfileTarget } from '../helpers/lockfile-target.js';
import { until } from '../helpers/process-figures.js';
import { atScale, limitAtScale, printFigure } from '../helpers/scale.js';

const each = 4;

// Ours wait in both ways that there are.
const polling = { retries: { forever: true, retries: 2, minTimeout: 5, maxTimeout: 15 } };
const waiting = { timeout: 3_600_000 };

interface Work {
  file: string;
  rounds: number;
  stay: number;
  /** Options of lock, besides those about waiting. */
  options: object;
}

function start(children: Children, whose: Whose, index: number, work: Work): Child {
  const { file, rounds, stay, options } = work;
  const wait = whose === 'ours' && index % 2 === 0 ? waiting : polling;
  return children.fork('lockfile-increment.cjs', {
    args: [whose, file, `${rounds}`, `${stay}`, JSON.stringify({ ...wait, ...options })],
  });
}

const orders: Whose[][] = [
  ['theirs', 'ours'],
  ['ours', 'theirs'],
];

test.for(orders)(
  `${each} processes of each kind lose no increment, %s first`,
  { timeout: limitAtScale(60_000) },
  ([first = 'ours', second = 'theirs']) =>
    withLockfileTarget(async ({ file }) =>
      withChildren(async (children) => {
        const rounds = atScale(200, 20);
        writeFileSync(file, '0');
        const startedAt = performance.now();
        const startFleet = (whose: Whose): Child[] =>
          Array.from({ length: each }, (_, index) =>
            start(children, whose, index, { file, rounds, stay: 0, options: {} }),
          );
        const early = startFleet(first);
        await early[0]?.waitForMessage('started');
        const all = [...early, ...startFleet(second)];
        const exits = await Promise.all(
          all.map((child) => child.waitForExit(limitAtScale(50_000))),
        );
        const seconds = (performance.now() - startedAt) / 1000;
        for (const child of all) expect(child.stderr).toBe('');
        for (const exit of exits) expect(exit).toEqual({ code: 0, signal: null });
        expect(all.flatMap((child) => child.messagesSoFar('overlap'))).toEqual([]);
        expect(failuresOfOurs(all)).toEqual([]);
        expect(countIn(file)).toBe(2 * each * rounds);
        printFigure(
          `${2 * each} processes, ${rounds} increments each, ${first} first: ` +
            `all there after ${seconds.toFixed(1)} s`,
        );
      }),
    ),
);

test(
  'kills at random: nobody enters where a process that runs is, and everybody goes on',
  { timeout: limitAtScale(60_000) },
  () =>
    withLockfileTarget(async ({ file }) =>
      withChildren(async (children) => {
        const kills = atScale(60, 2);
        // Theirs, when killed inside, are waited for so long.
        const options = { stale: 3000, update: 1000 };
        const work = { file, rounds: 1_000_000, stay: 5, options };
        writeFileSync(file, '0');
        const kinds: Whose[] = ['ours', 'theirs'];
        const fleet = kinds.flatMap((whose) =>
          Array.from({ length: each }, (_, index) => ({
            ...{ whose, index },
            child: start(children, whose, index, work),
          })),
        );
        const all = fleet.map(({ child }) => child);
        const killedAt = new Map<string, number>();
        const kill = async ({ whose, child }: { whose: Whose; child: Child }): Promise<void> => {
          killedAt.set(`${whose} ${child.pid}`, now());
          child.kill('SIGKILL');
          expect(await child.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
        };
        const killedInside = { ours: 0, theirs: 0 };
        await all[0]?.waitForMessage('started');
        for (let times = 0; times < kills; times++) {
          await sleep(Math.random() * 300);
          const inside = fleet.find(({ child }) => child.pid === occupant(file));
          const victim = times % 2 === 0 ? fleet[Math.floor(Math.random() * fleet.length)] : inside;
          if (victim === undefined) continue;
          await kill(victim);
          if (occupant(file) === victim.child.pid) killedInside[victim.whose]++;
          const before = countIn(file);
          victim.child = start(children, victim.whose, victim.index, work);
          all.push(victim.child);
          await until(() => countIn(file) > before, 'an increment', limitAtScale(30_000));
        }
        for (const member of fleet) await kill(member);
        const overlaps = all
          .flatMap((child) => child.messagesSoFar('overlap'))
          // Who was killed inside has left his marker.
          .filter(({ other, at }) => Number(at) < (killedAt.get(String(other)) ?? Infinity));
        // Two of theirs may take one stale lock over together, as they always could (#121), and then remove one another's
        // directory, or whoever's is there. Nothing else may let two in where one is ours.
        const robberies = timesIn(`${file}.robberies`);
        const isUnexplained = ({ at }: ChildMessage): boolean =>
          !robberies.some((time) => Math.abs(Number(at) - time) < 5000);
        const withOurs = overlaps.filter(({ one, other }) => isOurs(one) || isOurs(other));
        expect(withOurs.filter(isUnexplained)).toEqual([]);
        expect(failuresOfOurs(all).filter(isUnexplained)).toEqual([]);
        printFigure(
          `${all.length - fleet.length} kills, of ours inside ${killedInside.ours}, of theirs inside ` +
            `${killedInside.theirs}: ${countIn(file)} increments; theirs removed somebody else's lock ` +
            `${robberies.length} times, after which two were inside ${overlaps.length} times, ` +
            `${withOurs.length} times one of ours`,
        );
      }),
    ),
);

function isOurs(who: unknown): boolean {
  return String(who).startsWith('ours');
}

/** Releases that failed. On Windows theirs may do so when somebody looks at the directory. */
function failuresOfOurs(all: readonly Child[]): ChildMessage[] {
  return all.flatMap((child) => child.messagesSoFar('failure')).filter(({ who }) => isOurs(who));
}

function timesIn(log: string): number[] {
  if (!existsSync(log)) return [];
  return readFileSync(log, 'utf8').trimEnd().split('\n').map(Number);
}

/** The clock of test/fixtures/lockfile-increment.cjs. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

function countIn(file: string): number {
  return Number(readFileSync(file, 'utf8'));
}

function occupant(file: string): number {
  try {
    return Number(readFileSync(`${file}.occupied`, 'utf8').split(' ')[1]);
  } catch {
    return 0;
  }
}
