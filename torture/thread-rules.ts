/** What one thread may expect of the calls that it makes beside one another, and of work that it has not awaited. */
import type { At, HistoryEvent, Violation } from './history.js';

/** A release was acknowledged: nothing that was begun under the lock may follow. */
export interface Ended extends At {
  kind: 'ended';
  hold: number;
}

/** A replace is called, of a file that this thread alone writes. Later calls have higher versions. */
export interface Call extends At {
  kind: 'call';
  target: string;
  version: number;
}

/** An update is over: what its function made, and what the call resolved with. */
export interface Result extends At {
  kind: 'result';
  made: number;
  got: number;
}

export type ThreadRule = 'no write of an ended lock' | 'order within a thread' | 'own result';

/** Every one of these promises that a history breaks; its events are in the order of their times. */
export function checkThreads(events: readonly HistoryEvent[]): Violation[] {
  return [...checkEnded(events), ...checkOrder(events), ...checkResults(events)];
}

function checkEnded(events: readonly HistoryEvent[]): Violation[] {
  const ended = new Map<string, bigint>();
  const holds = new Map<number, string>();
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.kind === 'ended') ended.set(`${event.process} ${event.hold}`, event.at);
    if (event.kind === 'write') holds.set(event.version, `${event.process} ${event.hold}`);
    if (event.kind !== 'written') continue;
    const hold = holds.get(event.version);
    const end = hold === undefined ? undefined : ended.get(hold);
    if (end === undefined) continue;
    const what = `version ${event.version} of ${String(hold)}, which ended at ${end}, at ${event.at}`;
    violations.push({ rule: 'no write of an ended lock', what });
  }
  return violations;
}

/** Of calls that were acknowledged before a read began, the last one is what is read, or a later call. */
function checkOrder(events: readonly HistoryEvent[]): Violation[] {
  const targets = new Map<number, string>();
  const acknowledged = new Map<string, { at: bigint; version: number }[]>();
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.kind === 'call') targets.set(event.version, event.target);
    if (event.kind === 'written') {
      const target = targets.get(event.version);
      if (target === undefined) continue;
      acknowledged.set(target, [...(acknowledged.get(target) ?? []), event]);
    }
    if (event.kind !== 'read') continue;
    const calls = acknowledged.get(event.target) ?? [];
    const before = calls.filter(({ at }) => at < event.began);
    const last = before.sort((one, other) => one.version - other.version).at(-1);
    if (last === undefined) continue;
    // Of those that are older than the last one nothing will be seen again.
    acknowledged.set(event.target, [last, ...calls.filter(({ at }) => at >= event.began)]);
    if (event.version !== null && event.version >= last.version) continue;
    const what = `version ${String(event.version)} was read at ${event.at}, though ${last.version} was called later (${event.target})`;
    violations.push({ rule: 'order within a thread', what });
  }
  return violations;
}

function checkResults(events: readonly HistoryEvent[]): Violation[] {
  return events.flatMap((event) =>
    event.kind !== 'result' || event.made === event.got
      ? []
      : [
          {
            rule: 'own result' as const,
            what: `${event.process} made ${event.made} and got ${event.got}`,
          },
        ],
  );
}
