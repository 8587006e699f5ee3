// Results as text, for a terminal.

const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
export const number = (value) =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : digits.format(value);

/** The rows, best first by the first column that all have. */
export function ranked({ rows, better }) {
  const key = ({ cells }) => (cells.find((cell) => cell !== null) ?? { median: Infinity }).median;
  return [...rows].sort((one, other) => (key(one) - key(other)) * (better === 'higher' ? -1 : 1));
}

export function printSection({ name, title, tables, notes, seconds }) {
  console.log(`\n${name}. ${title} (${seconds.toFixed(0)} s)`);
  for (const table of tables) printTable(table);
  for (const note of notes) console.log(`  ${note}`);
}

function printTable(table) {
  const { title, unit, reference, columns, refused } = table;
  console.log(`\n  ${title}: ${unit}${reference === undefined ? '' : `; × is to “${reference}”`}`);
  const header = ['', ...columns];
  const lines = ranked(table).map(({ name, cells }) => [name, ...cells.map(cellText)]);
  const widths = header.map((_, at) =>
    Math.max(...[header, ...lines].map((line) => line[at].length)),
  );
  for (const line of [header, ...lines]) {
    const [first, ...rest] = line;
    console.log(
      `    ${[first.padEnd(widths[0]), ...rest.map((text, at) => text.padStart(widths[at + 1]))].join('   ')}`,
    );
  }
  for (const { name, reason } of refused) console.log(`    not ranked: ${name}: ${reason}`);
}

function cellText(cell) {
  if (cell === null) return '–';
  const { median, low, high, ratio } = cell;
  const range = low === high ? '' : ` (${number(low)}…${number(high)})`;
  return `${number(median)}${range}${ratio === undefined ? '' : ` ×${number(ratio.median)}`}`;
}

export function printTargets(targets) {
  if (targets.length === 0) return;
  console.log('\nWhat is to be reached');
  for (const { text, wanted, value, inC, reached } of targets) {
    const limit = inC === undefined ? '' : `; the same calls in C: ${number(inC)}`;
    console.log(
      `  ${reached ? 'yes' : 'NO '}  ${text}: ${number(value)} (wanted ${wanted}${limit})`,
    );
  }
}
