// Draws what `holdfast demo` prints, for README.md: docs/pictures/demo-light.svg and demo-dark.svg. The demo is really run, on a
// terminal of its own: script(1) of util-linux.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { devNull } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const project = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const command = path.join(project, 'dist', 'cli', 'main.js');
const pictures = path.join(project, 'docs', 'pictures');

const themes = {
  light: { background: '#ffffff', frame: '#d0d7de', text: '#1f2328', 32: '#1a7f37', 31: '#cf222e' },
  dark: { background: '#0d1117', frame: '#30363d', text: '#e6edf3', 32: '#3fb950', 31: '#f85149' },
};
const columns = 100;
const fontSize = 13;
const columnWidth = 7.83;
const lineHeight = 19;
const margin = 18;

const lines = ['$ npx holdfast demo', ...wrapped(runDemo())];
mkdirSync(pictures, { recursive: true });
for (const [name, theme] of Object.entries(themes)) {
  writeFileSync(path.join(pictures, `demo-${name}.svg`), draw(lines, theme));
}
console.log(lines.join('\n'));

/** The lines that stay on the terminal. */
function runDemo() {
  const words = [process.execPath, command, 'demo'].map((word) => `'${word}'`).join(' ');
  const output = execFileSync('script', ['-qec', `exec ${words}`, devNull], {
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm', TMPDIR: '/tmp', NO_COLOR: '' },
  });
  // A line that was redrawn is what was written after it was last cleared.
  return output
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.split('\r\u001b[2K').at(-1));
}

function wrapped(lines) {
  return lines.flatMap((line) => {
    const parts = [''];
    for (const word of line.match(/ *[^ ]+/g) ?? ['']) {
      if ((parts.at(-1) + word).length > columns) parts.push(`  ${word.trimStart()}`);
      else parts[parts.length - 1] += word;
    }
    return parts;
  });
}

function draw(lines, theme) {
  const width = Math.ceil(columns * columnWidth) + 2 * margin;
  const height = lines.length * lineHeight + 2 * margin;
  const rows = lines.map((line, row) => {
    const y = margin + (row + 0.75) * lineHeight;
    return `<text x="${margin}" y="${y}">${spans(line, theme)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>What holdfast demo prints</title>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${theme.background}" stroke="${theme.frame}"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${fontSize}" fill="${theme.text}" xml:space="preserve">
${rows.join('\n')}
</g>
</svg>
`;
}

/** Text with the colours that the terminal was asked for. */
function spans(line, theme) {
  // eslint-disable-next-line no-control-regex
  const [plain = '', ...coloured] = line.split(/\u001b\[(\d+)m/);
  let drawn = escaped(plain);
  for (let at = 0; at < coloured.length; at += 2) {
    const colour = theme[coloured[at]];
    const text = escaped(coloured[at + 1] ?? '');
    if (text !== '') drawn += colour ? `<tspan fill="${colour}">${text}</tspan>` : text;
  }
  return drawn;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
