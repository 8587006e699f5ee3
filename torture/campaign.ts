import { appendFileSync, chownSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { readRegularFileSync, tryLockSync } from 'holdfast';

import { numberOf } from '../test/fixtures/numbered-contents.cjs';
import { withChildren } from '../test/helpers/child.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import { check, undisturbed } from './history.js';
import type { HistoryEvent } from './history.js';
import type { Nemesis } from './nemeses.js';
import { randomFrom } from './random.mjs';
import type { ClientTraits } from './world.js';
import { World } from './world.js';

/** What came of the time that clients spent under a nemesis. */
export interface Result {
  name: string;
  strikes: number;
  hits: number;
  grants: number;
  writes: number;
  losses: number;
  violations: string[];
}

const clientCount = 4;

/** Lets clients work under a nemesis for so many milliseconds, and judges what they did. */
export async function campaign(
  nemesis: Nemesis,
  milliseconds: number,
  seed: number,
  traits: ClientTraits = {},
): Promise<Result> {
  const place = nemesis.place ?? withTemporaryDirectory;
  return withTemporaryDirectory(async (aside) =>
    place(async (directory) =>
      withChildren(async (children) => {
        const random = randomFrom(seed);
        const clients = { ...nemesis.clients, ...traits };
        const options = nemesis.options?.(aside) ?? {};
        const { uid, gid } = options;
        if (uid !== undefined && gid !== undefined) {
          for (const one of [aside, directory]) chownSync(one, uid, gid);
        }
        const world = new World(children, directory, aside, random, clients, options);
        for (let count = 0; count < clientCount; count++) world.start();
        await world.ready();
        let [strikes, hits] = [0, 0];
        const end = performance.now() + milliseconds;
        while (performance.now() < end) {
          await sleep(random(60));
          if (nemesis.strike === undefined) continue;
          strikes += 1;
          hits += await nemesis.strike(world);
        }
        await world.stop();
        const history = world.history();
        if (nemesis.hits) hits = nemesis.hits(history, world);
        const violations = [
          ...verdict(world, history, nemesis),
          ...world.crashes.map((crash) => `crash: ${crash}`),
        ];
        const count = (kind: HistoryEvent['kind']) =>
          history.filter((event) => event.kind === kind).length;
        return {
          ...{ name: nemesis.name, strikes, hits, violations },
          ...{ grants: count('grant'), writes: count('written'), losses: count('lost') },
        };
      }),
    ),
  );
}

function verdict(world: World, history: readonly HistoryEvent[], nemesis: Nemesis): string[] {
  const { target } = world;
  const contents = readRegularFileSync(target)?.contents;
  const last = (contents && numberOf(contents)) ?? null;
  const circumstances = { ...undisturbed, ...nemesis.circumstances };
  const violations = check(history, new Map([[target, last]]), circumstances);
  const found = violations.map(({ rule, what }) => `${rule}: ${what}`);
  const held = tryLockSync(target);
  if (held === null) found.push('stuck: nobody is left, and the lock is not to be had');
  held?.releaseSync();
  return found;
}

/** Tells scripts/torture.mjs, which makes a table of it. */
export function report(table: string, row: Record<string, unknown>): void {
  const file = process.env.HOLDFAST_TORTURE_REPORT;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ table, row })}\n`);
}
