import { HoldfastError } from '../index.js';
import type { JournalLine } from '../journal-line.js';
import { toPrintableJson } from '../printable.js';
import { readJournal } from './journal-reader.js';
import { defineCommand, onlyOperand } from './command.js';
import { exitCodes } from './exit-codes.js';
import { print as complain } from './report.js';
import { printJson, printLine, StatusLine } from './terminal.js';

export const journal = defineCommand({
  name: 'journal',
  summary: 'Read what openJournal() has kept',
  synopsis: '[options] FILE',
  about: [
    'Prints the events in FILE, a journal that programs keep with openJournal(): one line each, with its time, the process and what it was about.',
    'With --summary it counts instead: how often somebody went on without the lock (fail-open), by target and reason; the other events; and the lines that are no events, which a crash or a full disk may leave and anybody who may write FILE can add.',
  ],
  options: {
    summary: { type: 'boolean', text: 'Count events. Default: print each.' },
    json: { type: 'boolean', text: 'Print JSON: one object, or one per line. Default: in words.' },
  },
  exitStatus: [
    ['0', 'FILE was read'],
    ['64', 'the command line is wrong'],
    ['71', 'FILE could not be read'],
    ['77', 'FILE is not a regular file'],
  ],
  examples: [
    ['holdfast journal --summary locks.jsonl', 'How often did anybody go on without the lock?'],
    ['holdfast journal locks.jsonl | grep lock_fail_open', 'When, and who?'],
  ],

  async run({ values, operands, rest }) {
    const file = onlyOperand([...operands, ...(rest ?? [])], 'FILE');
    try {
      await (values.summary ? printSummary(file, values.json) : printEvents(file, values.json));
      return 0;
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      // What is said of locked files does not help here.
      complain('holdfast journal', (error as Error).message);
      return exitCodes.systemError;
    }
  },
});

async function printEvents(file: string, json: boolean): Promise<void> {
  for await (const line of readJournal(file)) {
    if (line === null) complain('holdfast journal', 'a line is no event');
    else if (json) printJson(line);
    else printLine(inWords(line));
  }
}

/** What needs no quotes. */
const plain = /^[^\s"=]+$/;

/** "2026-01-02T03:04:05.678Z web-1[12] lock_fail_open target=/srv/a reason=timeout". */
function inWords({ event, time, pid, host, ...fields }: JournalLine): string {
  const details = Object.entries(fields).map(([name, value]) => {
    const text = typeof value === 'string' && plain.test(value) ? value : toPrintableJson(value);
    return `${name}=${text}`;
  });
  return [time, `${host}[${pid}]`, event, ...details].join(' ');
}

/** How often somebody went on without the lock on one target for one reason. */
interface FailOpens {
  count: number;
  reason: string;
  target: string;
}

interface Summary {
  failOpens: FailOpens[];
  /** Other events, by name. */
  events: { count: number; event: string }[];
  /** Lines that the writers could not write. */
  lost: number;
  /** Lines that are no events. */
  malformed: number;
}

async function printSummary(file: string, json: boolean): Promise<void> {
  const summary = await summarize(file);
  if (json) {
    printJson(summary);
    return;
  }
  const { failOpens, events, lost, malformed } = summary;
  const width = Math.max(...[...failOpens, ...events].map(({ count }) => `${count}`.length), 1);
  const row = (count: number, text: string) => `  ${`${count}`.padStart(width)}  ${text}`;
  const total = failOpens.reduce((sum, { count }) => sum + count, 0);
  printLine(total === 0 ? 'nobody went on without the lock' : `gone on without the lock: ${total}`);
  for (const { count, reason, target } of failOpens) {
    printLine(row(count, `${reason}  ${target}`));
  }
  if (events.length > 0) printLine('other events:');
  for (const { count, event } of events) printLine(row(count, event));
  if (lost > 0) printLine(`events that could not be written: ${lost}`);
  if (malformed > 0) printLine(`lines that are no events: ${malformed}`);
}

async function summarize(file: string): Promise<Summary> {
  const failOpens = new Map<string, FailOpens>();
  const events = new Map<string, { count: number; event: string }>();
  let lost = 0;
  let malformed = 0;
  let read = 0;
  const status = new StatusLine(process.stderr);
  for await (const line of readJournal(file)) {
    read++;
    if (process.stderr.isTTY) status.update(() => `${read} lines so far`);
    if (line === null) {
      malformed++;
    } else if (line.event === 'lock_fail_open') {
      const reason = String(line.reason);
      const target = String(line.target);
      const key = JSON.stringify([target, reason]);
      const counted = failOpens.get(key) ?? { count: 0, reason, target };
      counted.count++;
      failOpens.set(key, counted);
    } else if (line.event === 'lines_lost') {
      lost += Number.isSafeInteger(line.lines) ? (line.lines as number) : 0;
    } else {
      const counted = events.get(line.event) ?? { count: 0, event: line.event };
      counted.count++;
      events.set(line.event, counted);
    }
  }
  status.clear();
  const mostFirst = (one: { count: number }, other: { count: number }) => other.count - one.count;
  return {
    failOpens: [...failOpens.values()].sort(mostFirst),
    events: [...events.values()].sort(mostFirst),
    lost,
    malformed,
  };
}
