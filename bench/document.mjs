// Writes the figures of bench/results.json into docs/performance.md, between its marks: npm run bench:document
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import prettier from 'prettier';
import { number, ranked } from './report.mjs';

const page = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
const [input = fileURLToPath(new URL('results.json', import.meta.url))] = process.argv.slice(2);
const results = JSON.parse(readFileSync(input, 'utf8'));

const row = (cells) => `| ${cells.join(' | ')} |`;

function conditions() {
  const { node, system, processor, fileSystems, rounds, loadBefore, loadAfter } = results;
  const places = Object.entries(fileSystems).map(([place, kind]) => `${place} is ${kind}`);
  const load = [loadBefore[0], loadAfter[0]].map((each) => each.toFixed(1)).join(' and ');
  return (
    `Node ${node.slice(1)}, ${system}, ${processor}; ${places.join(', ')}; ${rounds} rounds; ` +
    `the machine's load before and after was ${load}.`
  );
}

function targets() {
  return [
    row(['', 'wanted', 'measured', 'reached', 'the same calls in C']),
    row(['---', '---', '---:', '---', '---:']),
    ...results.targets.map(({ text, wanted, value, reached, inC }) =>
      row([
        ...[text, wanted, number(value), reached ? 'yes' : '**no**'],
        inC === undefined ? '' : number(inC),
      ]),
    ),
  ].join('\n');
}

function table(each) {
  const { title, unit, reference, columns, refused } = each;
  const comparison = reference === undefined ? '' : `; × is to “${reference}” in the same round`;
  return [
    `**${title}**, ${unit}${comparison}`,
    '',
    row(['', ...columns]),
    row(['---', ...columns.map(() => '---:')]),
    ...ranked(each).map(({ name, cells }) => row([name, ...cells.map(cellText)])),
    '',
    ...refused.map(({ name, reason }) => `Not ranked: ${name} (${reason}).`),
  ].join('\n');
}

function cellText(cell) {
  if (cell === null) return '–';
  const { median, low, high, ratio } = cell;
  const range = low === high ? '' : ` (${number(low)}–${number(high)})`;
  return `${number(median)}${range}${ratio === undefined ? '' : `, ×${number(ratio.median)}`}`;
}

function sections() {
  return results.sections
    .map(({ name, title, tables, notes }) =>
      [`### ${name}. ${title}`, ...tables.map(table), ...notes].join('\n\n'),
    )
    .join('\n\n');
}

let text = readFileSync(page, 'utf8');
for (const [mark, contents] of Object.entries({ conditions, targets, sections })) {
  const [begin, end] = [`<!-- ${mark} -->`, `<!-- end of ${mark} -->`];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`docs/performance.md has no ${begin} … ${end}`);
  text = `${before}${begin}\n\n${contents()}\n\n${end}${after}`;
}
const options = await prettier.resolveConfig(page);
writeFileSync(page, await prettier.format(text, { ...options, parser: 'markdown' }));
console.log('docs/performance.md');
