// What is to be reached, and whether it is.
import { plainC, sameCalls } from './sections/a-uncontended.mjs';
import { throughThread } from './sections/c-hand-off.mjs';
import { forEachLine } from './sections/j-jobs.mjs';
import { Tables } from './tables.mjs';

const isPeer = (name) =>
  !name.startsWith('holdfast') && !name.startsWith('C,') && !name.startsWith('node:fs');

const quotient = (one, other) =>
  one === undefined || other === undefined ? undefined : one / other;

const atMost = (limit) => ({ wanted: `at most ${limit}`, holds: (value) => value <= limit });
const atLeast = (limit) => ({ wanted: `at least ${limit}`, holds: (value) => value >= limit });

function targetsOf(tables) {
  const list = [];
  /** `value` is undefined where it was not measured. */
  const add = (text, value, { wanted, holds }, inC) => {
    if (value !== undefined) list.push({ text, wanted, value, inC, reached: holds(value) });
  };
  /**
   * The same for what holdfast is beside others: what C would be that makes the same system calls, which is as much as
   * anybody can reach who gives the same guarantees.
   */
  const addBeside = (text, { id, column, own = 'holdfast', c = sameCalls }, toFigure, target) => {
    const [value, inC] = [own, c].map((name) => toFigure(tables.value(id, name, column)));
    add(text, value, target, inC);
  };

  for (const place of ['disk', 'tmpfs']) {
    const id = `uncontended-${place}`;
    add(
      `lock and unlock, sync, ${place}: time to C`,
      tables.ratio(id, 'holdfast (sync)'),
      atMost(1.4),
    );
    add(
      `lock and unlock, async, ${place}: time to C`,
      tables.ratio(id, 'holdfast (async)'),
      atMost(1.6),
    );
    const best = tables.best(id, 0, (name) => isPeer(name) && name.endsWith('(async)'));
    addBeside(
      `lock and unlock, async, ${place}: rate to the best asynchronous peer`,
      { id, own: 'holdfast (async)' },
      (time) => quotient(best, time),
      atLeast(10),
    );
  }

  add(
    '8 × 2,000 increments, async: time to C making the same system calls',
    quotient(
      tables.value('increments-2000', 'holdfast (async)'),
      tables.value('increments-2000', sameCalls),
    ),
    atMost(2.5),
  );
  addBeside(
    '8 × 2,000 increments, async: time to the plain C',
    { id: 'increments-2000', own: 'holdfast (async)' },
    (time) => quotient(time, tables.value('increments-2000', plainC)),
    atMost(2.5),
  );

  const nativePeers = ['fs-ext', 'fs-native-extensions', 'os-lock'].map(
    (peer) => `${peer} (async)`,
  );
  const bestNative = tables.best('hand-off', 'p50', (name) => nativePeers.includes(name));
  const handOff = { id: 'hand-off', column: 'p50', own: 'holdfast (async)', c: throughThread };
  addBeside(
    'hand-off, async, p50: to the best native peer in its asynchronous form',
    handOff,
    (time) => quotient(time, bestNative),
    atMost(1),
  );
  addBeside(
    'hand-off, async, p50: how much shorter than proper-lockfile’s',
    handOff,
    (time) => quotient(tables.value('hand-off', 'proper-lockfile (async)', 'p50'), time),
    atLeast(20),
  );
  add(
    'hand-off, async, p99: µs',
    tables.value('hand-off', 'holdfast (async)', 'p99'),
    atMost(5000),
  );

  add(
    '8 pending waits: fs.readFile slower by',
    tables.value('other-io-8', 'holdfast', 'fs.readFile, slower by'),
    atMost(1.15),
  );

  for (const place of ['disk', 'tmpfs']) {
    add(
      `replaceFileSync, 4 KiB, no flush, ${place}: rate to C`,
      tables.ratio(`replace-${place}-none-sync`, 'holdfast', '4 KiB'),
      atLeast(0.85),
    );
  }
  add(
    'replaceFile, 4 KiB, no flush, tmpfs: rate to C',
    tables.ratio('replace-tmpfs-none-async', 'holdfast', '4 KiB'),
    atLeast(0.25),
  );
  add(
    'replaceFile, 4 KiB, flushed, disk: rate to C',
    tables.ratio('replace-disk-file-async', 'holdfast', '4 KiB'),
    atLeast(0.75),
  );
  for (const id of tables.ids(/^replace-(disk|tmpfs)-.*-async$/)) {
    const words = id.replace(/^replace-(\w+)-(\w+)-async$/, '$1, durability $2');
    for (const [peer, times] of [
      ['atomically', 2],
      ['write-file-atomic', 3],
    ]) {
      for (const column of ['100 B', '4 KiB']) {
        addBeside(
          `replaceFile, ${column}, ${words}: rate to ${peer}`,
          { id, column },
          (rate) => quotient(rate, tables.value(id, peer, column)),
          atLeast(times),
        );
      }
    }
  }
  const addBesidePeers = (id, column) => {
    addBeside(
      `${id.replaceAll('-', ' ')}, ${column}: rate to the best peer`,
      { id, column },
      (rate) => quotient(rate, tables.best(id, column, isPeer, Math.max)),
      atLeast(1),
    );
  };
  for (const id of tables.ids(/^replace-(disk|tmpfs)-.*-a?sync$/)) {
    for (const column of tables.columns(id)) {
      addBesidePeers(id, column);
    }
  }
  for (const id of tables.ids(/^replace-many-/)) {
    const [many] = tables.columns(id);
    addBesidePeers(id, many);
    add(
      `${id.replaceAll('-', ' ')}: updates of one file to write-file-atomic`,
      quotient(
        tables.value(id, 'holdfast, updateFile', 'one file'),
        tables.value(id, 'write-file-atomic', 'one file'),
      ),
      atLeast(10),
    );
  }
  for (const id of tables.ids(/^replace-disk-.*-a?sync$/)) {
    const rate = tables.ratio(id, 'holdfast', '64 MiB');
    add(
      `${id.replaceAll('-', ' ')}, 64 MiB: time to C`,
      rate === undefined ? undefined : 1 / rate,
      atMost(1.15),
    );
  }

  add('import: ms', tables.value('load', 'holdfast'), atMost(6));
  add(
    '10,000 waiters: bytes of heap each',
    tables.value('waiters-memory', 'holdfast', '10000'),
    atMost(2048),
  );
  add(
    '10,000 waiters: time for each, to that of 1,000',
    quotient(
      tables.value('waiters-drain', 'holdfast', '10000'),
      tables.value('waiters-drain', 'holdfast', '1000'),
    ),
    atMost(1.5),
  );
  add(
    '10,000 waiters: threads more than for one',
    difference(
      tables.value('waiters-threads', 'holdfast', '10000'),
      tables.value('waiters-threads', 'holdfast', '1'),
    ),
    atMost(0),
  );
  add(
    'appendLog, 100 callers: rate to one write-file-atomic for each line',
    // One after the other, as a program without a JobStore does.
    quotient(
      tables.value('jobs-file', 'holdfast', '100 callers'),
      tables.value('jobs-file', forEachLine, '1 caller'),
    ),
    atLeast(20),
  );
  return list;
}

const difference = (one, other) =>
  one === undefined || other === undefined ? undefined : one - other;

export const judge = (results) => targetsOf(new Tables(results));
