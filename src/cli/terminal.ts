import type { WriteStream } from 'node:tty';

import { printable, toPrintableJson } from '../printable.js';

/** A stream to print to; on a terminal it has the members of a `tty.WriteStream`. */
export type Output = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

const plainInterval = 1000;
const redrawInterval = 100;

/** Prints `text` as one line on standard output, with everything unprintable in it escaped. */
export function printLine(text: string): void {
  printPage([printable(text)]);
}

/** Prints `value` as JSON on standard output, with everything unprintable in it escaped. */
export function printJson(value: unknown, indent?: number): void {
  printPage([toPrintableJson(value, indent)]);
}

/** Prints lines on standard output as they are: for colours. What comes from outside must be `printable` already. */
export function printPage(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Prints `text` as one line on standard error, with everything unprintable in it escaped. */
export function complain(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** Whether lines can be redrawn. */
function canRedraw(output: Output): boolean {
  return output.isTTY === true && process.env.TERM !== 'dumb';
}

const colours = { red: 31, green: 32 } as const;

/** Colours the text, on a terminal and unless NO_COLOR asks for none. */
export function colour(name: keyof typeof colours, text: string, output: Output): string {
  if (!canRedraw(output) || (process.env.NO_COLOR ?? '') !== '') return text;
  return `\u001b[${String(colours[name])}m${text}\u001b[39m`;
}

/** Cuts what does not fit out of the middle: a path is longest there, and who holds the lock comes at the end. */
function shorten(text: string, width: number): string {
  if (text.length <= width) return text;
  const head = Math.floor(width / 4);
  return `${text.slice(0, head)}...${text.slice(text.length - Math.max(0, width - head - 3))}`.slice(
    0,
    width,
  );
}

/**
 * Progress on one line: redrawn in place on a terminal, elsewhere a plain line per second. Texts that come faster are
 * dropped, so `update` may be called at every step.
 */
export class StatusLine {
  readonly #output: Output;
  readonly #redraws: boolean;
  #shown = false;
  #last = performance.now();

  constructor(output: Output) {
    this.#output = output;
    this.#redraws = canRedraw(output);
    // The first redrawn line comes at once, the first plain one after a second: a short run prints none.
    if (this.#redraws) this.#last = -Infinity;
  }

  /** Shows the text that the function returns, with everything unprintable in it escaped. */
  update(text: () => string): void {
    const now = performance.now();
    if (now - this.#last < (this.#redraws ? redrawInterval : plainInterval)) return;
    this.#last = now;
    if (this.#redraws) {
      // A terminal may not know its width and say 0. One column is left free: some wrap as soon as the last is written.
      const { columns = 0 } = this.#output;
      const line = shorten(printable(text()), (columns > 0 ? columns : 80) - 1);
      this.#output.write(`\r\u001b[2K${line}`);
      this.#shown = true;
    } else {
      this.#output.write(`${printable(text())}\n`);
    }
  }

  /** Takes a redrawn line away, so that other output can follow. */
  clear(): void {
    if (!this.#shown) return;
    this.#output.write('\r\u001b[2K');
    this.#shown = false;
  }

  /** Prints a line that stays, as it is: what comes from outside must be `printable` already. */
  print(line: string): void {
    this.clear();
    this.#output.write(`${line}\n`);
  }
}
