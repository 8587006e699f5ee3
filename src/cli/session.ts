import { SessionLock } from '../index.js';
import type {
  SessionLockReason,
  SessionLockRecord,
  SessionLockStatus,
  SessionTransition,
} from '../index.js';
import { defineCommand, UsageError } from './command.js';
import type { Arguments, Options } from './command.js';
import { formatDuration, parseDuration } from './duration.js';
import { printJson, printLine } from './terminal.js';

const sessionVariable = 'HOLDFAST_SESSION_ID';
const ttlVariable = 'HOLDFAST_LOCK_TTL_SECONDS';
const notChanged = 1;
const statusCodes: Readonly<Record<SessionLockReason, number>> = {
  own: 0,
  absent: 1,
  foreign: 2,
  'no-session': 3,
  'ttl-expired': 4,
  malformed: 5,
};

const options = {
  session: {
    type: 'string',
    value: 'ID',
    text: `The id of this session. Default: the variable ${sessionVariable}; without it only the ttl counts.`,
  },
  ttl: {
    type: 'string',
    value: 'DURATION',
    text: `How long the lock lasts without a sign of life: 500ms, 30s, 2m, 1h, or a bare number of seconds. Default: ${ttlVariable} seconds, else 30s; for renew what the lock has.`,
  },
  timeout: {
    type: 'string',
    short: 'w',
    value: 'DURATION',
    text: 'Give up after this long when another process changes the lock. Default: 30s.',
  },
  json: { type: 'boolean', text: 'Print everything that is known as JSON. Default: in words.' },
} as const satisfies Options;

interface Request {
  session: string | undefined;
  ttl: number | undefined;
}

/** What each action does, and what it says when it was done. */
const transitions = {
  create: {
    make: (lock: SessionLock, { session, ttl }: Request) => lock.create({ session, ttl }),
    done: 'created',
  },
  renew: {
    make: (lock: SessionLock, { session, ttl }: Request) => lock.renew({ session, ttl }),
    done: 'renewed',
  },
  release: {
    make: (lock: SessionLock, { session }: Request) => lock.release({ session }),
    done: 'released',
  },
  break: {
    make: (lock: SessionLock, { session, ttl }: Request) => lock.breakStale({ session, ttl }),
    done: 'broken',
  },
} as const;
type Action = keyof typeof transitions;
const actions = ['create', 'status', 'renew', 'release', 'break'];

export const session = defineCommand({
  name: 'session',
  summary: 'Keep a lock for a session, beyond the end of a process',
  synopsis: '[options] create|status|renew|release|break FILE',
  about: [
    'The lock is FILE itself. create makes it, unless anything is there; renew shows a sign of life, release removes it: both only if it is of this session. break removes it, whosever it is, if it has shown no sign of life for longer than its ttl. status says how it looks from this session and changes nothing.',
    'An id may hold anything: it is stored sanitized, and compared with its hash. Whoever has no session id goes by the ttl alone: such a lock ends when it is broken.',
  ],
  options,
  exitStatus: [
    ['0', 'done; status: own, the lock is of this session'],
    ['1', 'not done: what is there does not allow it; status: absent, there is no lock'],
    ['2', 'status: foreign, the lock is of another session'],
    ['3', 'status: no-session, one side has no session id, and the ttl is not over'],
    ['4', 'status: ttl-expired, not known to be of this session, and break would remove it'],
    ['5', 'status: malformed, what is there cannot be believed'],
    ['64', 'the command line, or a variable, is wrong'],
    ['71', 'the system said no, or the time was over'],
    ['77', 'refused: what lies at FILE is not safe to use, or holds other data'],
  ],
  examples: [
    [
      'holdfast session create --ttl 10m agent.lock',
      'At the start of what may take many processes:',
    ],
    [
      'holdfast session status agent.lock',
      'When one of them ends, in a hook: is the work of this session still under way?',
    ],
    [
      'holdfast session break agent.lock && holdfast session create agent.lock',
      'After a session that has crashed:',
    ],
  ],

  async run(args) {
    const { action, file } = readOperands(args);
    const { values } = args;
    const timeout = durationValue('--timeout', values.timeout);
    const request = {
      session: values.session ?? process.env[sessionVariable],
      ttl: durationValue('--ttl', values.ttl) ?? (keepsTtl(action) ? undefined : variableTtl()),
    };
    const lock = new SessionLock(file, { timeout });
    if (!isTransition(action)) {
      const status = await lock.status(request);
      if (values.json) printJson(status, 2);
      else printLine(describe(status));
      return statusCodes[status.reason];
    }
    const { make, done } = transitions[action];
    const transition = await make(lock, request);
    if (values.json) printJson(transition, 2);
    else printLine(describeTransition(lock.path, done, transition));
    return transition.changed ? 0 : notChanged;
  },
});

function readOperands({ operands, rest }: Arguments<typeof options>) {
  const [action, file, extra] = [...operands, ...(rest ?? [])];
  const known = `${actions.slice(0, -1).join(', ')} or ${actions.at(-1) ?? ''}`;
  if (action === undefined) throw new UsageError(`an action is missing: ${known}`);
  if (!actions.includes(action)) {
    throw new UsageError(`unknown action '${action}': it must be ${known}`);
  }
  if (file === undefined) throw new UsageError('FILE is missing');
  if (file === '') throw new UsageError('FILE must not be empty');
  if (extra !== undefined) throw new UsageError(`one FILE is enough, got '${extra}' as well`);
  return { action, file };
}

function isTransition(action: string): action is Action {
  return Object.hasOwn(transitions, action);
}

/** Whether the lock's own ttl is what counts, so that nothing else need be right. */
function keepsTtl(action: string): boolean {
  return action === 'renew' || action === 'release';
}

function durationValue(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const duration = parseDuration(text);
  if (duration !== null && (duration > 0 || option !== '--ttl')) return duration;
  throw new UsageError(
    `option '${option}' must be a duration such as 500ms, 30s, 2m, 1h or a bare number of seconds, got '${text}'`,
  );
}

function variableTtl(): number | undefined {
  const text = process.env[ttlVariable] ?? '';
  if (text === '') return undefined;
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? parseDuration(text) : null;
  if (seconds !== null && seconds > 0) return seconds;
  throw new UsageError(`${ttlVariable} must be a number of seconds above 0, got '${text}'`);
}

function describeTransition(path: string, done: string, { changed, found }: SessionTransition) {
  if (changed) return `${done}: ${path}`;
  return `not ${done}: ${describe(found)}`;
}

/** The reason comes first, for scripts. */
function describe({ path, reason, expired, record }: SessionLockStatus): string {
  const what = record === null ? '' : `, ${describeRecord(record)}`;
  const over = expired && reason !== 'ttl-expired' ? ', expired' : '';
  return `${reason}: ${path}${what}${over}`;
}

function describeRecord({ session, pid, host, renewedAt, ttl }: SessionLockRecord): string {
  const whose = session === null ? 'of no session' : `of session ${session}`;
  const by = pid === null ? '' : `, by pid ${pid}${host === null ? '' : ` on ${host}`}`;
  const life = `last sign of life ${renewedAt.toISOString()}`;
  return `${whose}${by}, ${life}, ttl ${formatDuration(ttl)}`;
}
