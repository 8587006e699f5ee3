// A chart of horizontal bars, as SVG text.

export const themes = {
  light: {
    text: '#1f2328',
    faint: '#59636e',
    line: '#d1d9e0',
    own: '#0969da',
    floor: '#818b98',
    other: '#afb8c1',
  },
  dark: {
    text: '#f0f6fc',
    faint: '#9198a1',
    line: '#3d444d',
    own: '#4493f8',
    floor: '#9198a1',
    other: '#545d68',
  },
};

const width = 840;
const margin = 16;
/** Of a character of a label, on the average and rather too much: what draws the text has a font of its own. */
const characterWidth = 7.1;
const values = 90;
const rowHeight = 26;
const barHeight = 15;
const top = 70;
const font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"';

/** `bars`: name, value, text, and with `until` a line that goes further. The longest bars come last on either scale. */
export function barChart({ title, note, bars, logarithmic = false }, colors) {
  const sorted = [...bars].sort((one, other) =>
    logarithmic ? one.value - other.value : other.value - one.value,
  );
  const largest = Math.max(...bars.map(({ value, until = value }) => until));
  const smallest = logarithmic ? 10 ** Math.floor(Math.log10(sorted[0].value) - 0.3) : 0;
  const labels = 10 + characterWidth * Math.max(...bars.map(({ name }) => name.length));
  const room = width - margin * 2 - labels - values;
  const share = (value) =>
    logarithmic ? Math.log10(value / smallest) / Math.log10(largest / smallest) : value / largest;
  const xOf = (value) => margin + labels + share(value) * room;
  const bottom = top + sorted.length * rowHeight;
  const height = bottom + 40;

  const ticks = ticksOf(smallest, largest, logarithmic).map((value) => {
    const x = xOf(value).toFixed(1);
    return (
      `<line x1="${x}" x2="${x}" y1="${top - 6}" y2="${bottom}" stroke="${colors.line}"/>` +
      `<text x="${x}" y="${bottom + 18}" fill="${colors.faint}" font-size="12" text-anchor="middle">${value.toLocaleString('en')}</text>`
    );
  });
  const rows = sorted.map(({ name, value, until, text }, at) => {
    const y = top + at * rowHeight;
    const middle = y + rowHeight / 2;
    const own = name.startsWith('holdfast');
    const color = own ? colors.own : name.startsWith('C,') ? colors.floor : colors.other;
    const end = xOf(value);
    const reach = until === undefined ? end : Math.max(end, xOf(until));
    const whisker =
      until === undefined
        ? ''
        : `<path d="M${end.toFixed(1)} ${middle}H${reach.toFixed(1)}m0 -4v8" stroke="${colors.faint}" fill="none"/>`;
    return (
      `<text x="${margin + labels - 10}" y="${middle + 4.5}" text-anchor="end" font-size="13"` +
      ` fill="${colors.text}"${own ? ' font-weight="600"' : ''}>${escape(name)}</text>` +
      `<rect x="${margin + labels}" y="${middle - barHeight / 2}" width="${Math.max(1, end - margin - labels).toFixed(1)}"` +
      ` height="${barHeight}" rx="2" fill="${color}"/>${whisker}` +
      `<text x="${(reach + 8).toFixed(1)}" y="${middle + 4.5}" font-size="12.5" fill="${colors.text}"` +
      `${own ? ' font-weight="600"' : ''}>${escape(text)}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ${font} role="img">`,
    `<title>${escape(title)}</title>`,
    `<desc>${escape(sorted.map(({ name, text }) => `${name}: ${text}`).join('; '))}</desc>`,
    `<text x="${margin}" y="26" font-size="17" font-weight="600" fill="${colors.text}">${escape(title)}</text>`,
    `<text x="${margin}" y="46" font-size="12.5" fill="${colors.faint}">${escape(note)}</text>`,
    ...ticks,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}

function ticksOf(smallest, largest, logarithmic) {
  if (logarithmic) {
    const ticks = [];
    for (let value = smallest; value <= largest; value *= 10) ticks.push(value);
    return ticks;
  }
  const raw = largest / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  return Array.from({ length: Math.floor(largest / step) + 1 }, (_, at) => at * step);
}

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (text) => text.replace(/[&<>"]/g, (character) => escapes[character]);
