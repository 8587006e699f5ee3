import { HoldfastError, inspectLock, lock, tryLock } from '../index.js';
import type { FileLock, LockOptions, TryLockOptions, WaitInfo } from '../index.js';
import { describeHolder } from '../record.js';
import { defineCommand, integerValue, onlyOperand, UsageError } from './command.js';
import type { Arguments, Options } from './command.js';
import { parseDuration } from './duration.js';
import { handDown } from './hand-down.js';
import type { HandDown } from './hand-down.js';
import { print } from './report.js';
import { runCommand } from './run-command.js';
import { StatusLine } from './terminal.js';

const program = 'holdfast run';

const options = {
  shared: {
    type: 'boolean',
    short: 's',
    text: 'Take the lock shared: any number of shared holders at a time, and no exclusive one. Default: exclusive.',
  },
  timeout: {
    type: 'string',
    short: 'w',
    value: 'DURATION',
    text: 'Give up after this long: 500ms, 5s, 2m, 1h, or a bare number of seconds. Default: wait without limit.',
  },
  nonblock: {
    type: 'boolean',
    short: 'n',
    text: 'Do not wait at all: give up if somebody holds the lock.',
  },
  'conflict-exit-code': {
    type: 'string',
    short: 'E',
    value: 'N',
    text: 'The exit status when --nonblock or --timeout gave up, 0 to 255. Default: 1.',
  },
  session: {
    type: 'string',
    value: 'ID',
    text: "Write this session id into the lock file, for 'holdfast who' to show. Default: none.",
  },
  close: {
    type: 'boolean',
    short: 'o',
    text: 'Do not hand the lock down to the command: it ends with holdfast, and whatever the command left running goes on without it. Default: the lock lasts as long as the command and all that it starts.',
  },
} as const satisfies Options;

export const run = defineCommand({
  name: 'run',
  summary: 'Run a command while holding a lock',
  synopsis: '[options] FILE -- COMMAND [ARGUMENT...]',
  about: [
    "Takes the lock on FILE, runs COMMAND without a shell, and ends with the command's exit status. FILE need not exist; the lock file .FILE.lock is made beside it and stays there.",
    'The command inherits the lock (as descriptor 87): even if holdfast is killed, nobody else gets the lock before the command has ended, and a process that the command leaves behind in the background keeps it as well. With --close the lock is held by holdfast alone and freed as soon as the command has ended.',
    'On Windows no lock can be inherited. There holdfast itself stays until the command and all that it started have ended, and if holdfast is killed, the system ends them together with it.',
    'SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command. When the standard input is a terminal, SIGINT and SIGQUIT are not, since the terminal sends them to the command as well; on Windows the console sends them all. Other descriptors than 0, 1 and 2 are not passed on.',
  ],
  options,
  exitStatus: [
    ['N', 'what the command ended with'],
    ['128+N', 'the command was ended by signal N'],
    ['1', 'gave up because somebody holds the lock (see --conflict-exit-code)'],
    ['64', 'the command line is wrong'],
    ['71', 'the lock could not be taken: the system said no'],
    ['77', 'the lock was refused: what lies at its place is not safe to use'],
    ['126', 'the command could not be executed'],
    ['127', 'the command was not found'],
  ],
  examples: [
    ['holdfast run --nonblock /srv/site -- ./deploy.sh', 'Deploy, unless somebody is deploying:'],
    [
      'holdfast run --timeout 30s --conflict-exit-code 75 jobs.json -- ./retry',
      'Wait half a minute for the other job at most, and tell that case from a failure:',
    ],
    [
      "holdfast run notes.md -- sh -c 'sort notes.md > t && mv t notes.md'",
      'With a pipe or a redirection, say which shell:',
    ],
  ],

  async run(args) {
    const { file, command, timeout, conflictExitCode } = readCommandLine(args);
    const { shared, nonblock, session, close } = args.values;

    // No time to wait is no wait.
    const held = await (nonblock || timeout === 0
      ? acquireAtOnce(file, { shared, session })
      : acquire(file, { shared, session, timeout }));
    if (held === null) return conflictExitCode;

    const heirs = close ? null : handDown(held);
    const { exitCode, started } = await runCommand(command, heirs?.descriptor ?? null);
    if (heirs !== null && started) await waitFor(heirs);
    warnIfLost(held, file);
    await (heirs !== null && started ? heirs.release() : held.release());
    return exitCode;
  },
});

function readCommandLine({ values, operands, rest }: Arguments<typeof options>) {
  const file = onlyOperand(rest === null ? operands.slice(0, 1) : operands, 'FILE');
  if (rest === null) throw new UsageError("'--' and a command must follow FILE");
  if (rest.length === 0) throw new UsageError("a command is missing after '--'");
  if (values.nonblock && values.timeout !== undefined) {
    throw new UsageError("options '--nonblock' and '--timeout' exclude each other");
  }
  return {
    file,
    command: rest,
    timeout: values.timeout === undefined ? undefined : timeoutValue(values.timeout),
    conflictExitCode: integerValue(
      '--conflict-exit-code',
      values['conflict-exit-code'] ?? '1',
      0,
      255,
    ),
  };
}

function timeoutValue(text: string): number {
  const timeout = parseDuration(text);
  if (timeout !== null) return timeout;
  throw new UsageError(
    `option '--timeout' must be a duration such as 500ms, 5s, 2m, 1h or a bare number of seconds, got '${text}'`,
  );
}

/** The lock, or null, with a message printed, if somebody holds it. */
async function acquireAtOnce(file: string, wanted: TryLockOptions): Promise<FileLock | null> {
  const held = await tryLock(file, wanted);
  if (held === null) {
    const { holder } = await inspectLock(file);
    print(program, `the lock on '${file}' is held by ${describeHolder(holder)}`);
  }
  return held;
}

/** The lock, or null, with a message printed, if the time was over first. */
async function acquire(file: string, wanted: LockOptions): Promise<FileLock | null> {
  const status = new StatusLine(process.stderr);
  const onWait = ({ message }: WaitInfo): void => {
    status.update(() => message);
  };
  try {
    return await lock(file, process.stderr.isTTY ? { ...wanted, onWait } : wanted);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'ETIMEDOUT') throw error;
    status.clear();
    print(program, error.message);
    return null;
  } finally {
    status.clear();
  }
}

async function waitFor(heirs: HandDown): Promise<void> {
  const status = new StatusLine(process.stderr);
  try {
    await heirs.settled((left) => {
      if (!process.stderr.isTTY) return;
      status.update(() => `waiting for what the command left running (processes: ${left})`);
    });
  } finally {
    status.clear();
  }
}

function warnIfLost(held: FileLock, file: string): void {
  try {
    held.verify();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    print(program, `${file} was not protected until the end: ${error.message}`);
  }
}
