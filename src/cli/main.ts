#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { UsageError } from './command.js';
import { demo } from './demo.js';
import { renderOverview } from './help.js';
import { journal } from './journal.js';
import { replace } from './replace.js';
import { report } from './report.js';
import { run } from './run.js';
import { session } from './session.js';
import { who } from './who.js';

const commands = [run, who, replace, session, journal, demo];

void main(process.argv.slice(2)).then((code) => {
  // Not process.exit(): output that is still on its way to a pipe would be cut off.
  process.exitCode = code;
});

async function main(argv: readonly string[]): Promise<number> {
  // `holdfast … | head` is nobody's mistake.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const [name, ...rest] = argv;
  const command = commands.find((candidate) => candidate.name === name);
  const program = command ? `holdfast ${command.name}` : 'holdfast';
  try {
    return await (command ? command.execute(rest) : withoutCommand(name));
  } catch (error) {
    return report(program, error);
  }
}

function withoutCommand(argument: string | undefined): number {
  if (argument === '--help' || argument === '-h') {
    process.stdout.write(renderOverview(commands));
    return 0;
  }
  if (argument === '--version') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  if (argument === undefined) throw new UsageError('a command is missing');
  const kind = argument.startsWith('-') ? 'option' : 'command';
  throw new UsageError(`unknown ${kind} '${argument}'`);
}

function version(): string {
  const file = path.join(__dirname, '..', '..', 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
