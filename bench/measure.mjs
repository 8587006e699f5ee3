// Rounds in which all candidates take turns, and what their figures come to.

/**
 * Measures each name in every round, in an order that is turned by one from round to round. Hands back what `measure` did
 * of each, by round. One that throws is out: `refused` says why.
 */
export async function inTurn(names, rounds, measure, refused = new Map()) {
  const samples = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < names.length; at++) {
      const name = names[(at + round) % names.length];
      if (refused.has(name)) continue;
      try {
        samples.get(name)[round] = await measure(name, round);
      } catch (error) {
        refused.set(name, error.message);
      }
    }
  }
  return { samples, refused };
}

/**
 * A table of one figure in some columns: `valueOf(sample, column)` picks it. Each cell has the median of all rounds with
 * the lowest and the highest, and the same of its ratio to the reference in the same round.
 */
export function toTable({ id, title, unit, better, reference, columns, valueOf }, measured) {
  const { samples, refused } = measured;
  const rows = [];
  for (const [name, each] of samples) {
    if (refused.has(name)) continue;
    const cells = columns.map((column) => {
      const values = [];
      const ratios = [];
      each.forEach((sample, round) => {
        const value = valueOf(sample, column);
        if (value === undefined) return;
        values.push(value);
        const compared = samples.get(reference)?.[round];
        const base = compared && valueOf(compared, column);
        if (base !== undefined) ratios.push(value / base);
      });
      return values.length === 0
        ? null
        : { ...spread(values), ...(ratios.length > 0 ? { ratio: spread(ratios) } : {}) };
    });
    rows.push({ name, cells });
  }
  return {
    id,
    title,
    unit,
    better,
    reference,
    columns,
    rows,
    refused: [...refused].map(([name, reason]) => ({ name, reason })),
  };
}

export function spread(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return { median: quantile(sorted, 0.5), low: sorted[0], high: sorted.at(-1) };
}

export function quantile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at % 1);
}
