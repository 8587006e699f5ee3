import { parseArgs } from 'node:util';

import { renderHelp } from './help.js';
import { printPage } from './terminal.js';

/** An option of a command, said once: for the parser and for `--help`. */
export interface Option {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** What stands for the value in the help text. Strings only. */
  readonly value?: string;
  readonly text: string;
}

export type Options = Readonly<Record<string, Option>>;

export interface Arguments<O extends Options> {
  readonly values: {
    readonly [Name in keyof O]: O[Name]['type'] extends 'boolean' ? boolean : string | undefined;
  };
  readonly operands: readonly string[];
  /** What follows `--`, untouched; null without `--`. */
  readonly rest: readonly string[] | null;
}

export interface CommandDefinition<O extends Options> {
  readonly name: string;
  readonly summary: string;
  /** What follows `holdfast NAME` in the synopsis. */
  readonly synopsis: string;
  readonly about: readonly string[];
  readonly options: O;
  readonly exitStatus: readonly (readonly [code: string, text: string])[];
  readonly examples: readonly (readonly [commandLine: string, text: string])[];
  /** Resolves to the exit code. */
  run(args: Arguments<O>): Promise<number>;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  execute(argv: readonly string[]): Promise<number>;
}

/** The command line is wrong; the message names the part that is. */
export class UsageError extends Error {}

const helpOption = {
  help: { type: 'boolean', short: 'h', text: 'Print this and exit.' },
} as const satisfies Options;

export function defineCommand<O extends Options>(definition: CommandDefinition<O>): Command {
  const options = { ...definition.options, ...helpOption };
  return {
    name: definition.name,
    summary: definition.summary,
    async execute(argv) {
      const args = parseArguments(argv, options);
      if (args.values.help) {
        printPage(renderHelp({ ...definition, options }));
        return 0;
      }
      return definition.run(args);
    },
  };
}

/**
 * Reads a command line. `parseArgs` only splits it into tokens here: its own errors would have to be told apart by
 * their text, and say more than fits a line.
 */
function parseArguments<O extends Options>(argv: readonly string[], options: O): Arguments<O> {
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type, short }]) => [
        name,
        short === undefined ? { type } : { type, short },
      ]),
    ),
    strict: false,
    tokens: true,
  });

  const values: Record<string, boolean | string | undefined> = {};
  for (const [name, { type }] of Object.entries(options)) {
    values[name] = type === 'boolean' ? false : undefined;
  }
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'option-terminator') {
      return result(argv.slice(token.index + 1));
    } else if (token.kind === 'positional') {
      operands.push(token.value);
    } else {
      values[token.name] = optionValue(token, options);
    }
  }
  return result(null);

  function result(rest: readonly string[] | null): Arguments<O> {
    return { values: values as Arguments<O>['values'], operands, rest };
  }
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function optionValue(token: OptionToken, options: Options): boolean | string {
  const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
  if (!option) throw new UsageError(`unknown option '${token.rawName}'`);
  if (option.type === 'boolean') {
    if (token.value === undefined) return true;
    throw new UsageError(`option '${token.rawName}' takes no value, got '${token.value}'`);
  }
  if (token.value === undefined) throw new UsageError(`option '${token.rawName}' needs a value`);
  if (token.inlineValue !== true && token.value.startsWith('-')) {
    // A short option has its value right behind it, without '='.
    const together = token.rawName.startsWith('--') ? `${token.rawName}=` : token.rawName;
    throw new UsageError(
      `option '${token.rawName}' needs a value, got the option '${token.value}'; write '${together}${token.value}' if that is the value`,
    );
  }
  return token.value;
}

/** The one operand that a command takes. */
export function onlyOperand(operands: readonly string[], name: string): string {
  const [operand, extra] = operands;
  if (operand === undefined) throw new UsageError(`${name} is missing`);
  if (operand === '') throw new UsageError(`${name} must not be empty`);
  if (extra !== undefined) throw new UsageError(`one ${name} is enough, got '${extra}' as well`);
  return operand;
}

/** The value of an option that takes a whole number from `least` to `greatest`. */
export function integerValue(
  option: string,
  text: string,
  least: number,
  greatest: number,
): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= greatest) return value;
  throw new UsageError(
    `option '${option}' must be a whole number from ${least} to ${greatest}, got '${text}'`,
  );
}
