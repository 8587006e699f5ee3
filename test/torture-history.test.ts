import { describe, expect, test } from 'vitest';

import { check, undisturbed } from '../torture/history.js';
import type { HistoryEvent, Rule } from '../torture/history.js';

const target = 'file';
const at = (time: number) => BigInt(time) * 1_000_000n;

const invoke = (process: string, time: number): HistoryEvent => ({
  ...{ kind: 'invoke', process, at: at(time), target },
});
const grant = (process: string, time: number, more: object = {}): HistoryEvent => ({
  ...{ kind: 'grant', process, at: at(time), target, hold: 1 },
  ...{ shared: false, token: time, ttl: 0, ...more },
});
const release = (process: string, time: number, hold = 1): HistoryEvent => ({
  ...{ kind: 'release', process, at: at(time), hold },
});
const lost = (process: string, time: number): HistoryEvent => ({
  ...{ kind: 'lost', process, at: at(time), hold: 1 },
});
const turn = (process: string, time: number): HistoryEvent => ({
  ...{ kind: 'turn', process, at: at(time) },
});
const write = (process: string, time: number, version: number, after: number): HistoryEvent => ({
  ...{ kind: 'write', process, at: at(time), target, hold: 1, version, after },
});
const written = (process: string, time: number, version: number): HistoryEvent => ({
  ...{ kind: 'written', process, at: at(time), version },
});
const refused = (process: string, time: number, version: number): HistoryEvent => ({
  ...{ kind: 'refused', process, at: at(time), version },
});
const read = (began: number, time: number, version: number | null): HistoryEvent => ({
  ...{ kind: 'read', process: 'reader', at: at(time), began: at(began), target, hold: null },
  version,
});

const ended = (process: string, time: number, hold = 1): HistoryEvent => ({
  ...{ kind: 'ended', process, at: at(time), hold },
});
const call = (time: number, version: number): HistoryEvent => ({
  ...{ kind: 'call', process: 'a', at: at(time), target: 'own', version },
});
const readOwn = (began: number, time: number, version: number | null): HistoryEvent => ({
  ...{ kind: 'read', process: 'a', at: at(time), began: at(began), target: 'own', hold: null },
  version,
});
const result = (time: number, made: number, got: number): HistoryEvent => ({
  ...{ kind: 'result', process: 'a', at: at(time), made, got },
});

/** A holds and writes version 1, then B writes version 2. */
const good = [
  ...[grant('a', 1), write('a', 2, 1, 0), written('a', 3, 1), release('a', 4)],
  ...[grant('b', 5), write('b', 6, 2, 1), written('b', 7, 2), release('b', 8)],
];

function rulesBroken(
  history: HistoryEvent[],
  last: number | null = 0,
  circumstances: object = {},
): Rule[] {
  const ends = new Map([[target, last]]);
  return check(history, ends, { ...undisturbed, ...circumstances }).map(({ rule }) => rule);
}

describe('a history that keeps every promise', () => {
  test('has no violations', () => {
    expect(rulesBroken(good, 2)).toEqual([]);
    expect(rulesBroken([...good].reverse(), 2), 'in whatever order it is told').toEqual([]);
    expect(rulesBroken([...good, read(1, 9, 2), read(1, 2, 0), read(4, 9, 1)], 2)).toEqual([]);
  });

  test('may have holders that share', () => {
    const shared = { shared: true, token: null };
    const history = [grant('a', 1, shared), grant('b', 2, shared), release('a', 3)];
    expect(rulesBroken([...history, release('b', 4)])).toEqual([]);
  });

  test('may end in the middle of a hold, with the write there or not', () => {
    const history = [grant('a', 1), write('a', 2, 1, 0), grant('b', 3), release('b', 4)];
    expect(rulesBroken(history, 1)).toEqual([]);
    expect(rulesBroken(history, 0)).toEqual([]);
  });

  test('may have holders that are robbed and find out', () => {
    const ttl = 100;
    const robbed = [grant('a', 1, { ttl }), turn('a', 2), invoke('b', 3), grant('b', 120, { ttl })];
    expect(rulesBroken([...robbed, lost('a', 150), release('b', 160)])).toEqual([]);
    const shared = { shared: true, token: null };
    const turned = [grant('a', 1, { ttl }), turn('a', 130), invoke('c', 131), grant('c', 132)];
    const lostToBoth = [grant('b', 128, shared), release('b', 129), ...turned, lost('a', 150)];
    expect(rulesBroken([...lostToBoth, release('c', 160)]), 'by one that shares').toEqual([]);
    expect(rulesBroken([...turned, lost('a', 150)]), 'by one that was killed').toEqual([]);
    const removed = [grant('a', 1), grant('b', 2), lost('a', 3), release('b', 4)];
    expect(rulesBroken(removed, 0, { outsiders: true })).toEqual([]);
  });
});

test('calls of one thread may end in any order, and the last one is what is there', () => {
  const calls = [call(1, 1), call(2, 2), call(3, 3)];
  const acknowledged = [written('a', 4, 2), written('a', 5, 3), written('a', 6, 1)];
  expect(rulesBroken([...calls, ...acknowledged, readOwn(7, 8, 3)])).toEqual([]);
  expect(rulesBroken([...calls, written('a', 5, 3), readOwn(4, 6, 1)]), 'meanwhile').toEqual([]);
  const failed = [written('a', 4, 1), refused('a', 5, 2), refused('a', 6, 3)];
  expect(rulesBroken([...calls, ...failed, readOwn(7, 8, 1)]), 'of those that worked').toEqual([]);
});

test('what was begun under a lock may be acknowledged, or refused, before its end is', () => {
  const begun = [grant('a', 1), write('a', 2, 1, 0), release('a', 3)];
  expect(rulesBroken([...begun, written('a', 4, 1), ended('a', 5)], 1)).toEqual([]);
  expect(rulesBroken([...begun, ended('a', 5), refused('a', 6, 1)], 0)).toEqual([]);
});

test('an update that tells of its grant when its lock is lost already makes no late writer of its successor', () => {
  const history = [grant('a', 1), grant('b', 2, { token: null }), write('a', 3, 1, 0)];
  const ends = [written('a', 4, 1), lost('b', 5), release('a', 6)];
  expect(rulesBroken([...history, ...ends], 1, { outsiders: true })).toEqual([]);
});

describe('what breaks a promise is found', () => {
  test('two holders at once', () => {
    const history = [grant('a', 1), grant('b', 2), release('a', 3), release('b', 4)];
    expect(rulesBroken(history)).toEqual(['mutual exclusion']);
    expect(rulesBroken(history, 0, { outsiders: true }), 'nobody found out').toEqual([
      'mutual exclusion',
    ]);
    const shared = { shared: true, token: null };
    const mixed = [grant('a', 1, shared), grant('b', 2), release('a', 3), release('b', 4)];
    expect(rulesBroken(mixed)).toEqual(['mutual exclusion']);
  });

  test('one that was killed while another one held', () => {
    const history = [grant('a', 1), grant('b', 2), turn('a', 3), release('b', 4)];
    expect(rulesBroken(history)).toEqual(['mutual exclusion']);
  });

  test('a token that does not grow', () => {
    const history = [grant('a', 1, { token: 7 }), release('a', 2), grant('b', 3, { token: 7 })];
    expect(rulesBroken([...history, release('b', 4)])).toEqual(['growing tokens']);
  });

  test('a loss that nothing explains', () => {
    expect(rulesBroken([grant('a', 1), lost('a', 2)])).toEqual(['no loss without a cause']);
  });

  test('a holder that is robbed although it turns', () => {
    const turns = Array.from({ length: 30 }, (_, index) => turn('a', 2 + index * 10));
    const history = [grant('a', 1, { ttl: 100 }), ...turns, invoke('b', 5), grant('b', 200)];
    expect(rulesBroken([...history, lost('a', 295), release('b', 300)])).toEqual([
      'no robbery of a holder that turns',
    ]);
  });

  test('a write that begins after another one was granted the lock, and is acknowledged', () => {
    const history = [grant('a', 1, { ttl: 100 }), invoke('b', 2), grant('b', 150)];
    const late = [write('a', 160, 1, 0), written('a', 170, 1), lost('a', 180), release('b', 190)];
    expect(rulesBroken([...history, ...late], 1)).toEqual(['no write after loss']);
  });

  test('an acknowledged update that is gone', () => {
    const overwritten = [...good.slice(0, 4), grant('b', 5), write('b', 6, 2, 0), release('b', 8)];
    expect(rulesBroken(overwritten, 2)).toEqual(['no lost update']);
    expect(rulesBroken(good, 1)).toEqual(['no lost update']);
  });

  test('a write that is there although it was refused', () => {
    const history = [grant('a', 1), write('a', 2, 1, 0), refused('a', 3, 1), release('a', 4)];
    expect(rulesBroken(history, 1)).toEqual(['no refused write']);
    expect(rulesBroken(history, 0)).toEqual([]);
  });

  test('an order that could not be', () => {
    const history = [
      ...[grant('a', 1), write('a', 2, 1, 2), written('a', 3, 1), release('a', 4)],
      ...[grant('b', 5), write('b', 6, 2, 0), written('b', 7, 2), release('b', 8)],
    ];
    expect(rulesBroken(history, 1)).toEqual(['committed in order']);
  });

  test('reads of what is torn, unknown, refused, old or yet to come', () => {
    expect(rulesBroken([...good, read(9, 10, null)], 2)).toEqual(['whole contents']);
    expect(rulesBroken([...good, read(9, 10, 77)], 2)).toEqual(['committed contents']);
    expect(rulesBroken([...good, read(4, 6, 0)], 2)).toEqual(['no old contents']);
    expect(rulesBroken([...good, read(1, 4, 2)], 2)).toEqual(['committed contents']);
  });

  test('a write that is acknowledged after the end of its lock was', () => {
    const history = [grant('a', 1), write('a', 2, 1, 0), release('a', 3), ended('a', 4)];
    expect(rulesBroken([...history, written('a', 5, 1)], 1)).toEqual(['no write of an ended lock']);
  });

  test('a call of a thread that an earlier one of the same thread comes after', () => {
    const history = [call(1, 1), call(2, 2), written('a', 3, 2), written('a', 4, 1)];
    expect(rulesBroken([...history, readOwn(5, 6, 1)])).toEqual(['order within a thread']);
    expect(rulesBroken([...history, readOwn(5, 6, null)])).toEqual(['order within a thread']);
  });

  test("an update that resolves with what another call's function made", () => {
    expect(rulesBroken([result(1, 7, 7), result(2, 8, 9)])).toEqual(['own result']);
  });

  test("a file that is torn, or nobody's, in the end", () => {
    expect(rulesBroken(good, null)).toEqual(['whole contents']);
    expect(rulesBroken(good, 99)).toEqual(['committed contents']);
  });
});
