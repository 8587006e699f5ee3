/**
 * Judges what processes did to files that they share, from what each of them wrote down. Pure: it reads no file and no clock.
 *
 * Times are nanoseconds of the monotonic clock, which all processes of a machine read alike (clock_gettime(2)). Each event
 * is timed on its cautious side: `grant` after the lock was granted, `release` before it is given back, so that two
 * holds that overlap here did overlap.
 */

import { checkThreads } from './thread-rules.js';
import type { Call, Ended, Result, ThreadRule } from './thread-rules.js';

export interface At {
  /** When it happened. */
  at: bigint;
  /** The thread that it happened in; one that is started again has another name. */
  process: string;
}

/** A wait for a lock begins. */
interface Invoke extends At {
  kind: 'invoke';
  target: string;
}

interface Grant extends At {
  kind: 'grant';
  target: string;
  /** Tells it from the other holds of the process. */
  hold: number;
  shared: boolean;
  /** Null where the holder does not learn it: shared locks, and inside of `updateFile`. */
  token: number | null;
  /** Milliseconds; 0: the lock may never be taken over. */
  ttl: number;
}

/** The process has learnt that the lock is not its own any more. */
interface Lost extends At {
  kind: 'lost';
  hold: number;
}

interface Release extends At {
  kind: 'release';
  hold: number;
}

/** A replace of the whole file begins. */
interface Write extends At {
  kind: 'write';
  target: string;
  hold: number;
  /** Tells the contents from all others; 0 stands for what the file held at first. */
  version: number;
  /** What the writer had read. */
  after: number;
}

/** It was acknowledged. */
interface Written extends At {
  kind: 'written';
  version: number;
}

/** It failed, and the error said that the old contents are there. */
interface Refused extends At {
  kind: 'refused';
  version: number;
}

/** The file was read; without `hold` by somebody who had no lock. */
interface Read extends At {
  kind: 'read';
  target: string;
  began: bigint;
  hold: number | null;
  /** Null when the contents are not whole. */
  version: number | null;
}

/** The event loop of the process turned. */
interface Turn extends At {
  kind: 'turn';
}

/** An operation failed in a way that breaks no promise. */
interface Failure extends At {
  kind: 'failure';
  code: string;
}

export type HistoryEvent =
  | (Invoke | Grant | Lost | Release | Write | Written | Refused | Read | Turn | Failure)
  | (Ended | Call | Result);

/** What was done from outside, and so what may be seen that else may not. */
export interface Circumstances {
  /** Lock files were removed, renamed or replaced by somebody who did not hold them. */
  outsiders: boolean;
  /** The wall clock, from which the token of a new lock file comes, was set. */
  clockSet: boolean;
}

export const undisturbed: Circumstances = { outsiders: false, clockSet: false };

export type Rule =
  | 'mutual exclusion'
  | 'growing tokens'
  | 'no loss without a cause'
  | 'no robbery of a holder that turns'
  | 'no write after loss'
  | 'no lost update'
  | 'no refused write'
  | 'committed in order'
  | 'whole contents'
  | 'committed contents'
  | 'no old contents'
  | ThreadRule;

export interface Violation {
  rule: Rule;
  what: string;
}

interface Hold {
  grant: Grant;
  /** When the process last had a right to think that it holds the lock. */
  end: bigint;
  lost: Lost | undefined;
  /** Whether the process ended without having given it back. */
  died: boolean;
}

const keyOf = (process: string, hold: number): string => `${process} ${hold}`;

/** Every promise that the history breaks. `last` is the version that each target holds in the end; null: torn. */
export function check(
  history: readonly HistoryEvent[],
  last: ReadonlyMap<string, number | null>,
  circumstances: Circumstances = undisturbed,
): Violation[] {
  const events = [...history].sort((one, other) => (one.at < other.at ? -1 : 1));
  const holds = holdsOf(events);
  const ofTargets = [...last.keys()].flatMap((target) => {
    const here = holds.filter(({ grant }) => grant.target === target);
    return [
      ...checkExclusion(here, circumstances),
      ...checkTokens(here, circumstances),
      ...checkLosses(here, events, circumstances),
      ...checkLateWrites(here, events, circumstances),
      ...checkContents(target, events, last.get(target) ?? null),
    ];
  });
  return [...ofTargets, ...checkThreads(events)];
}

function holdsOf(events: readonly HistoryEvent[]): Hold[] {
  const holds = new Map<string, Hold>();
  const ends = new Map<string, bigint>();
  const over = new Set<string>();
  for (const event of events) {
    ends.set(event.process, event.at);
    if (event.kind === 'grant') {
      const hold = { grant: event, end: event.at, lost: undefined, died: true };
      holds.set(keyOf(event.process, event.hold), hold);
    } else if (event.kind === 'release' || event.kind === 'lost') {
      const key = keyOf(event.process, event.hold);
      const hold = holds.get(key);
      if (hold === undefined || over.has(key)) continue;
      over.add(key);
      hold.end = event.at;
      hold.died = false;
      if (event.kind === 'lost') hold.lost = event;
    }
  }
  for (const hold of holds.values()) {
    // What it did after its last event nobody knows.
    if (hold.died) hold.end = ends.get(hold.grant.process) ?? hold.end;
  }
  return [...holds.values()].sort((one, other) => (one.grant.at < other.grant.at ? -1 : 1));
}

function describe({ grant, end, lost, died }: Hold): string {
  const how = lost ? 'lost' : died ? 'until its end' : 'released';
  const kind = grant.shared ? 'shared' : `token ${String(grant.token)}`;
  return `${grant.process} (hold ${grant.hold}, ${kind}, ttl ${grant.ttl}) from ${grant.at} to ${end}, ${how}`;
}

/** Those that were granted while the one at `index` lasted, of a list in the order of grants. */
function grantedDuring(index: number, holds: readonly Hold[]): Hold[] {
  const end = holds[index]?.end ?? 0n;
  const overlapping: Hold[] = [];
  for (let at = index + 1; at < holds.length; at++) {
    const other = holds[at];
    if (other === undefined || other.grant.at >= end) break;
    overlapping.push(other);
  }
  return overlapping;
}

/**
 * Whether a hold was taken away: whoever it was taken from has to find out, unless it ends before. Of two holds at once it may
 * be the later one, since `updateFile` tells of a grant only when it has read.
 */
const robbedUnder =
  (outsiders: boolean) =>
  ({ grant, lost, died }: Hold): boolean =>
    (outsiders || grant.ttl > 0) && (lost !== undefined || died);

function checkExclusion(holds: readonly Hold[], { outsiders }: Circumstances): Violation[] {
  const robbed = robbedUnder(outsiders);
  return holds.flatMap((hold, index) => {
    if (robbed(hold)) return [];
    return grantedDuring(index, holds)
      .filter((other) => !(other.grant.shared && hold.grant.shared) && !robbed(other))
      .map((other) => ({
        rule: 'mutual exclusion' as const,
        what: `${describe(hold)}, while ${describe(other)}`,
      }));
  });
}

function checkTokens(holds: readonly Hold[], { clockSet, outsiders }: Circumstances): Violation[] {
  if (clockSet && outsiders) return [];
  const exclusive = holds.filter(({ grant }) => grant.token !== null);
  const byEnd = [...exclusive].sort((one, other) => (one.end < other.end ? -1 : 1));
  const violations: Violation[] = [];
  let ended = 0;
  let highest: Hold | undefined;
  for (const hold of exclusive) {
    for (let next = byEnd[ended]; next && next.end < hold.grant.at; next = byEnd[++ended]) {
      if (highest === undefined || tokenOf(next) > tokenOf(highest)) highest = next;
    }
    if (highest !== undefined && tokenOf(hold) <= tokenOf(highest)) {
      const what = `${describe(hold)}, after ${describe(highest)}`;
      violations.push({ rule: 'growing tokens', what });
    }
  }
  return violations;
}

const tokenOf = ({ grant }: Hold): number => grant.token ?? 0;

function checkLosses(
  holds: readonly Hold[],
  events: readonly HistoryEvent[],
  { outsiders }: Circumstances,
): Violation[] {
  if (outsiders) return [];
  return holds.flatMap((hold, index): Violation[] => {
    if (hold.lost === undefined) return [];
    if (hold.grant.ttl === 0) {
      return [{ rule: 'no loss without a cause', what: `${describe(hold)}, which has no ttl` }];
    }
    // It may come after one that was killed as soon as it had taken the lock over, and of which nothing was written down.
    const [successor] = grantedDuring(index, holds);
    if (successor === undefined) return [];
    const pause = longestPause(hold, successor.grant.at, events);
    // Signs of life are due every third of the ttl.
    if (pause >= BigInt(hold.grant.ttl) * 500_000n) return [];
    const what = `${describe(hold)} paused for ${pause} ns at most, and was robbed before ${describe(successor)}`;
    return [{ rule: 'no robbery of a holder that turns', what }];
  });
}

/** The longest time in which a holder did nothing, of those that touch the span from its grant to `to`. */
function longestPause({ grant }: Hold, to: bigint, events: readonly HistoryEvent[]): bigint {
  const times = events.filter(({ process }) => process === grant.process).map(({ at }) => at);
  let longest = 0n;
  for (let at = 1; at < times.length; at++) {
    const [before = 0n, after = 0n] = [times[at - 1], times[at]];
    if (after >= grant.at && before <= to && after - before > longest) longest = after - before;
  }
  return longest;
}

function checkLateWrites(
  holds: readonly Hold[],
  events: readonly HistoryEvent[],
  { outsiders }: Circumstances,
): Violation[] {
  const robbed = robbedUnder(outsiders);
  const isLater = (other: Hold, hold: Hold) =>
    other.grant.token === null || hold.grant.token === null
      ? !robbed(other)
      : other.grant.token > hold.grant.token;
  const acknowledged = new Set(events.flatMap((e) => (e.kind === 'written' ? [e.version] : [])));
  const byHold = new Map<string, Write[]>();
  for (const event of events) {
    if (event.kind !== 'write' || !acknowledged.has(event.version)) continue;
    const key = keyOf(event.process, event.hold);
    byHold.set(key, [...(byHold.get(key) ?? []), event]);
  }
  return holds.flatMap((hold, index) => {
    const writes = byHold.get(keyOf(hold.grant.process, hold.grant.hold)) ?? [];
    const successor = grantedDuring(index, holds).find(
      (other) => !other.grant.shared && isLater(other, hold),
    );
    return writes
      .filter(({ at }) => at > hold.end || (successor && at > successor.grant.at))
      .map(({ version, at }) => ({
        rule: 'no write after loss' as const,
        what: `version ${version}, begun at ${at} by ${describe(hold)}`,
      }));
  });
}

/** Every write names what it had read, so that all that count form one chain which ends with what the file holds. */
function checkContents(
  target: string,
  events: readonly HistoryEvent[],
  last: number | null,
): Violation[] {
  const about = events.filter((event) => 'target' in event && event.target === target);
  const writes = new Map(about.flatMap((e) => (e.kind === 'write' ? [[e.version, e]] : [])));
  const violations: Violation[] = [];
  const add = (rule: Rule, what: string) => violations.push({ rule, what: `${what} (${target})` });
  if (last === null) {
    add('whole contents', 'the file is torn in the end');
    return violations;
  }
  const chain = chainOf(writes, last);
  if (chain === null) {
    add('committed contents', `version ${last} does not come from the first one`);
    return violations;
  }
  const positions = new Map(chain.map((version, position) => [version, position]));
  const acknowledged = new Map<number, bigint>();
  for (const event of events) {
    if (event.kind === 'written' && writes.has(event.version)) {
      acknowledged.set(event.version, event.at);
      if (!positions.has(event.version)) add('no lost update', `version ${event.version}`);
    } else if (event.kind === 'refused' && positions.has(event.version)) {
      add('no refused write', `version ${event.version}`);
    }
  }
  let earliest: bigint | undefined;
  for (const version of [...chain].reverse()) {
    const begun = writes.get(version)?.at;
    if (begun === undefined) continue;
    if (earliest !== undefined && earliest < begun) {
      add('committed in order', `version ${version} came before one that was there before`);
    }
    const done = acknowledged.get(version);
    if (done !== undefined && (earliest === undefined || done < earliest)) earliest = done;
  }
  const newest = newestBefore(acknowledged, positions);
  for (const event of about) {
    if (event.kind !== 'read') continue;
    const who = `${event.process} read version ${String(event.version)} at ${event.at}`;
    const position = event.version === null ? undefined : positions.get(event.version);
    if (event.version === null) add('whole contents', who);
    else if (position === undefined) add('committed contents', who);
    else if (position < newest(event.began)) add('no old contents', who);
    else if ((writes.get(event.version)?.at ?? 0n) > event.at) add('committed contents', who);
  }
  return violations;
}

/** The versions from the first one to `last`; null if that does not come from it. */
function chainOf(writes: ReadonlyMap<number, Write>, last: number): number[] | null {
  const chain = [last];
  const seen = new Set(chain);
  for (let version = last; version !== 0;) {
    const write = writes.get(version);
    if (write === undefined || seen.has(write.after)) return null;
    version = write.after;
    seen.add(version);
    chain.push(version);
  }
  return chain.reverse();
}

/** Tells which place in the chain the newest version had that was acknowledged before a time. */
function newestBefore(
  acknowledged: ReadonlyMap<number, bigint>,
  positions: ReadonlyMap<number, number>,
): (time: bigint) => number {
  const steps = [...acknowledged]
    .map(([version, at]) => ({ at, position: positions.get(version) ?? 0 }))
    .sort((one, other) => (one.at < other.at ? -1 : 1));
  let highest = 0;
  for (const step of steps) {
    highest = Math.max(highest, step.position);
    step.position = highest;
  }
  return (time) => {
    let [low, high] = [0, steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((steps[middle]?.at ?? time) < time) low = middle + 1;
      else high = middle;
    }
    return steps[low - 1]?.position ?? 0;
  };
}
