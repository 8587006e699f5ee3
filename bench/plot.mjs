// Draws the plots of the README from bench/results.json: npm run bench:plot
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { barChart, themes } from './bar-chart.mjs';
import { number } from './report.mjs';
import { Tables } from './tables.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const [input = path.join(here, 'results.json')] = process.argv.slice(2);
const results = JSON.parse(readFileSync(input, 'utf8'));
const tables = new Tables(results);

const conditions =
  `${results.rounds === 1 ? 'One round' : `Medians of ${results.rounds} rounds`}, Node ${results.node.replace('v', '')}, ` +
  `${results.fileSystems.disk}, ${results.system.split(' ')[0]}`;

const charts = {
  'hand-off': {
    id: 'hand-off',
    title: 'From one process’s release to the other’s lock',
    note: `Microseconds, shorter is better; logarithmic. Bar: p50, line: up to p99. ${conditions}.`,
    logarithmic: true,
    bars: tables.rows('hand-off').map(({ name, cells: [p50, , p99] }) => ({
      name,
      value: p50.median,
      until: p99.median,
      text: `${number(p50.median)} µs`,
    })),
  },
  replace: {
    id: 'replace-disk-file-async',
    title: 'Atomic replace of 4 KiB, flushed to disk before it is renamed',
    note: `Replaces a second, one after the other; longer is better. ${conditions}.`,
    bars: tables
      .rows('replace-disk-file-async')
      .map(({ name, cells }) => ({
        name,
        value: cells[tables.columns('replace-disk-file-async').indexOf('4 KiB')].median,
      }))
      .map((bar) => ({ ...bar, text: number(bar.value) })),
  },
};

const output = path.join(here, 'plots');
mkdirSync(output, { recursive: true });
for (const [name, chart] of Object.entries(charts)) {
  if (chart.bars.length === 0) {
    console.log(`${name}: not drawn, since the results have no table '${chart.id}'`);
    continue;
  }
  for (const [theme, colors] of Object.entries(themes)) {
    const file = path.join(output, `${name}-${theme}.svg`);
    writeFileSync(file, barChart(chart, colors));
    console.log(path.relative(process.cwd(), file));
  }
}
