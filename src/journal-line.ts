/** One event as one line of a journal. */
import { hostname } from 'node:os';
import type { HoldfastEventName } from './events.js';
import { toPlainFields } from './plain-fields.js';

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

// Names of files, hosts and sessions come from outside. What would end a line for some reader, move a cursor or turn the
// writing direction is written out; JSON reads it as the same.
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function toLine(event: string, data: unknown): string {
  const line: JournalLine = {
    ...{ event, time: new Date().toISOString(), pid: process.pid, host },
  };
  for (const [name, value] of Object.entries(toPlainFields(data))) line[name] ??= value;
  return `${toPrintableJson(line)}\n`;
}

/** JSON that can be printed and split into lines, whatever is in it. */
export function toPrintableJson(value: unknown): string {
  return JSON.stringify(value, describeErrors).replace(unprintable, escape);
}

/** An error has no fields of its own that JSON would show. */
function describeErrors(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { code, message } = value as NodeJS.ErrnoException;
  return code === undefined ? { message } : { code, message };
}

function escape(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
