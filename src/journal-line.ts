/** One event as one line of a journal. */
import { hostname } from 'node:os';
import type { HoldfastEventName } from './events.js';
import { toPlainFields } from './plain-fields.js';
import { toPrintableJson } from './printable.js';

const host = hostname();

/** What every line of a journal has; the fields of the event follow. */
export interface JournalLine {
  /** A `HoldfastEventName`, or `lines_lost`. */
  event: string;
  /** By the writer's clock, as in `Date.prototype.toISOString`. */
  time: string;
  pid: number;
  host: string;
  [field: string]: unknown;
}

/** Makes the line of an event, with its newline. Never throws, whatever was published. */
export function toJournalLine(name: HoldfastEventName, data: unknown): string {
  return toLine(name, data);
}

/** The line that stands for lines which could not be written. */
export function toLossLine(lines: number): string {
  return toLine('lines_lost', { lines });
}

function toLine(event: string, data: unknown): string {
  const line: JournalLine = {
    ...{ event, time: new Date().toISOString(), pid: process.pid, host },
  };
  for (const [name, value] of Object.entries(toPlainFields(data))) line[name] ??= value;
  return `${toPrintableJson(line)}\n`;
}
