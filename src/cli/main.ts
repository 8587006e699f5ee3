#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { packageDirectory } from '../load-addon.js';
import { UsageError } from './command.js';
import type { Command } from './command.js';
import { doctor } from './doctor.js';
import { renderOverview } from './help.js';
import { rebuild } from './rebuild.js';
import { exitCodes } from './exit-codes.js';
import { describe, report } from './report.js';
import { complain, printLine, printPage } from './terminal.js';

watchOutput();
// A defect, or what nobody could catch: exit code 1, which Node would choose, is an answer of some commands.
process.on('uncaughtException', (error: unknown) => {
  complain(`holdfast: ${error instanceof Error ? describe(error) : String(error)}`);
  process.exit(exitCodes.systemError);
});
void main(process.argv.slice(2)).then((code) => {
  // Not process.exit(): output that is still on its way to a pipe would be cut off.
  process.exitCode = code;
});

/**
 * Makes the exit code say so when output could not be written, which shows only after the command has ended: whoever acts
 * on an answer must not take the loss of it for another answer. Exit codes of errors stay.
 */
function watchOutput(): void {
  let lost = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `holdfast … | head` is nobody's mistake.
    if (error.code !== 'EPIPE') lost = true;
  });
  process.stderr.on('error', () => {
    lost = true;
  });
  process.on('exit', (code) => {
    if (lost && code < exitCodes.usage) process.exitCode = exitCodes.systemError;
  });
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  let program = 'holdfast';
  try {
    // `holdfast help run` is `holdfast run --help`.
    if (name === 'help') return await main([...rest.slice(0, 1), '--help']);
    const command = await findCommand(name);
    if (command === undefined) return await withoutCommand(name);
    program = `holdfast ${command.name}`;
    return await command.execute(rest);
  } catch (error) {
    return report(program, error);
  }
}

async function findCommand(name: string | undefined): Promise<Command | undefined> {
  // These are called for when there is no addon, and the others need one as soon as they are loaded.
  for (const command of [doctor, rebuild]) if (command.name === name) return command;
  if (name === undefined || name.startsWith('-')) return undefined;
  return (await allCommands()).find((command) => command.name === name);
}

async function allCommands(): Promise<readonly Command[]> {
  return (await import('./commands.js')).commands;
}

async function withoutCommand(argument: string | undefined): Promise<number> {
  if (argument === '--help' || argument === '-h') {
    printPage(renderOverview(await allCommands()));
    return 0;
  }
  if (argument === '--version') {
    printLine(version());
    return 0;
  }
  if (argument === undefined) throw new UsageError('a command is missing');
  const kind = argument.startsWith('-') ? 'option' : 'command';
  throw new UsageError(`unknown ${kind} '${argument}'`);
}

function version(): string {
  const file = path.join(packageDirectory, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
