import type { Command, CommandDefinition, Option, Options } from './command.js';

const lineWidth = 80;
const indent = '  ';

/** The page that `holdfast COMMAND --help` prints. */
export function renderHelp<O extends Options>(
  command: Omit<CommandDefinition<O>, 'run'>,
): string[] {
  return page([
    ['Usage', [`holdfast ${command.name} ${command.synopsis}`]],
    [
      command.summary,
      command.about.flatMap((paragraph, i) => [...(i ? [''] : []), ...wrap(paragraph)]),
    ],
    ['Options', definitions(Object.entries(command.options).map(optionEntry))],
    ['Exit status', definitions(command.exitStatus)],
    ['Examples', command.examples.flatMap(([line, text]) => [...wrap(text), `${indent}$ ${line}`])],
  ]);
}

/** The page that `holdfast --help` prints. */
export function renderOverview(commands: readonly Command[]): string[] {
  return page([
    ['Usage', ['holdfast COMMAND [options]', 'holdfast COMMAND --help', 'holdfast --version']],
    [
      'Locks on files that the operating system itself keeps',
      [
        ...wrap(
          'A lock belongs to a file (the target) and lies in a small lock file beside it: data.json is locked by ' +
            '.data.json.lock. Whoever locks the same target waits, in whatever process and language, as long as it ' +
            'locks that lock file. When a holder dies, however it dies, its lock is free at once.',
        ),
        '',
        ...wrap('The target itself is neither opened nor changed, and need not exist.'),
      ],
    ],
    ['Commands', definitions(commands.map(({ name, summary }) => [name, summary]))],
    ['Exit status', ['Each command has its own; an error in the command line is 64 everywhere.']],
    [
      'Examples',
      [
        'See it work, with real processes, one of them killed inside the lock:',
        `${indent}$ holdfast demo`,
        'Never let two of these run at a time:',
        `${indent}$ holdfast run /srv/site -- rsync -a build/ /srv/site/`,
      ],
    ],
  ]);
}

function page(sections: readonly (readonly [title: string, lines: readonly string[]])[]): string[] {
  return sections.flatMap(([title, lines], i) => [
    ...(i === 0 ? [] : ['']),
    `${title}:`,
    ...lines.map((line) => (line ? indent + line : '')),
  ]);
}

function optionEntry([name, { short, value, text }]: [string, Option]): [string, string] {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`;
  return [short === undefined ? `    ${long}` : `-${short}, ${long}`, text];
}

/** Terms on the left, their texts in a column on the right. */
function definitions(entries: readonly (readonly [string, string])[]): string[] {
  const column = Math.max(...entries.map(([term]) => term.length)) + 2;
  return entries.flatMap(([term, text]) =>
    wrap(text, lineWidth - indent.length - column).map(
      (line, i) => (i ? '' : term).padEnd(column) + line,
    ),
  );
}

function wrap(text: string, width: number = lineWidth - indent.length): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
