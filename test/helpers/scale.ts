/**
 * Whether counts are the full ones. `npm run stress` sets HOLDFAST_STRESS=1 and runs every test file that imports this
 * one; an ordinary run takes the same code through fewer rounds.
 */
export const stress = process.env.HOLDFAST_STRESS === '1';

/** How often: `full` under `npm run stress`, else `small`. */
export function atScale(full: number, small: number): number {
  return stress ? full : small;
}

/**
 * How long a wait, or a test, may take that takes `small` milliseconds at small counts at the very most: twice that, since
 * the machine may have other things to do.
 */
export function limitAtScale(small: number): number {
  return small * (stress ? 60 : 2);
}

/** Prints a measured figure. Tests assert generous bounds; what was really seen stands in their output. */
export function printFigure(figure: string): void {
  process.stdout.write(`${figure}\n`);
}

/** The value below which `part` (0.5: the median) of the samples lie. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(sorted.length * part));
  const value = sorted[index];
  if (value === undefined) throw new RangeError('There are no samples');
  return value;
}

/** Milliseconds with two decimals, for `printFigure`. */
export function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}
