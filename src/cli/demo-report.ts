import { printable } from '../printable.js';
import type { CrewPlan, TakeOver } from './demo-crew.js';
import { counterField } from './demo-file.js';
import { formatDuration } from './duration.js';
import { colour } from './terminal.js';
import type { Output } from './terminal.js';

/** What the demo has counted. */
export interface Tally {
  readonly acknowledged: number;
  readonly found: number;
  readonly reads: number;
  readonly tornReads: number;
  readonly longestWaitMs: number;
  readonly elapsedMs: number;
  readonly takeOver: TakeOver | null;
  readonly locked: boolean;
  /** Whether the fields that are not ours are as they were. */
  readonly othersKept: boolean;
}

function lostUpdates({ acknowledged, found }: Tally): number {
  return acknowledged - found;
}

/** What is about to happen, and to which file. */
export function renderPlan(plan: CrewPlan, startValue: number, otherFields: number): string[] {
  const { file, processes, rounds, locked } = plan;
  const steps = locked ? 'take the lock, read, add one, write' : 'read, add one, write: NO LOCK';
  return [
    `${processes} processes, ${formatNumber(rounds)} times each: ${steps}.`,
    `File: ${printable(file)}. Counting in its field "${counterField}" from ${formatNumber(startValue)}; its other fields (${formatNumber(otherFields)}) stay.`,
  ];
}

/** How far it has come, on one line. */
export function renderProgress(
  done: number,
  total: number,
  { reads, tornReads }: { reads: number; tornReads: number },
): string {
  const width = 30;
  const bar = '#'.repeat(Math.floor((done / total) * width)).padEnd(width, '.');
  return (
    `[${bar}] ${formatNumber(done)} of ${formatNumber(total)} increments, ` +
    `${formatNumber(reads)} reads, ${formatNumber(tornReads)} torn`
  );
}

/** Whether the file holds all that was acknowledged, and every reader saw it whole. */
export function isSound(tally: Tally): boolean {
  return lostUpdates(tally) === 0 && tally.tornReads === 0 && tally.othersKept;
}

export function renderTable(tally: Tally, output: Output): string[] {
  const count = (value: number, text: string): string =>
    colour(value === 0 ? 'green' : 'red', text, output);
  const lost = lostUpdates(tally);
  const { tornReads, othersKept, locked } = tally;
  const rows: [string, string][] = [
    ['increments acknowledged', formatNumber(tally.acknowledged)],
    ['increments found', formatNumber(tally.found)],
    ['lost updates', count(lost, formatNumber(lost))],
    ['torn reads', `${count(tornReads, formatNumber(tornReads))} of ${formatNumber(tally.reads)}`],
    ['other fields', othersKept ? 'unchanged' : colour('red', 'changed', output)],
    ['longest wait', locked ? formatDuration(tally.longestWaitMs) : 'none: nobody waits'],
    ['take-over from the dead', locked ? takeOverText(tally.takeOver) : 'none: it held nothing'],
    ['elapsed', formatDuration(tally.elapsedMs)],
  ];
  const column = Math.max(...rows.map(([name]) => name.length)) + 3;
  return rows.map(([name, value]) => `  ${name.padEnd(column)}${value}`);
}

function takeOverText(takeOver: TakeOver | null): string {
  if (!takeOver) return 'nobody asked for the lock any more';
  const { afterMs, deadPid, nextPid, told } = takeOver;
  const knowledge = told ? `, and was told that ${deadPid} had died inside` : '';
  return `${formatDuration(afterMs)}: pid ${nextPid} got the lock${knowledge}`;
}

/** What the table means. */
export function renderVerdict(tally: Tally): string {
  const lost = lostUpdates(tally);
  if (tally.locked) {
    return isSound(tally)
      ? 'Nothing was lost, although a process died while it held the lock.'
      : 'Something was lost. That must not happen: please report it, with this table.';
  }
  return lost > 0
    ? `That is the point: without the lock ${formatNumber(lost)} updates were overwritten by processes that had read the file before. Run it with the lock to see none lost.`
    : 'Nothing was lost this time: that was luck. More --processes or --rounds use it up.';
}

export function formatNumber(value: number): string {
  return value.toLocaleString('en-US');
}
