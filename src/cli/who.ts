import { inspectLock } from '../index.js';
import type { LockInspection } from '../index.js';
import { describeHolder } from '../record.js';
import { defineCommand, onlyOperand } from './command.js';
import { formatDuration } from './duration.js';
import { printJson, printLine } from './terminal.js';

const exitStatus = { held: 0, free: 1, unknown: 2 } as const;

export const who = defineCommand({
  name: 'who',
  summary: 'Tell who holds a lock',
  synopsis: '[options] FILE',
  about: [
    'Says whether the lock on FILE is held, and by which process, on which host, since when and in which session. It neither takes the lock nor waits for it.',
    'Whether the lock is held comes from the operating system. The rest is what the holder wrote into the lock file: information, not proof. Where the system also names the processes that took the lock (on Linux, within one machine and container), they are listed where they tell more. Of a holder that has ended it is said who inherited the lock from it, as far as this user may see; what cannot be told is said to be unknown.',
  ],
  options: {
    json: { type: 'boolean', text: 'Print everything that is known as JSON. Default: in words.' },
  },
  exitStatus: [
    ['0', 'the lock is held'],
    ['1', 'the lock is free'],
    ['2', 'it cannot be told, for example on a file system that offers no locks'],
    ['64', 'the command line is wrong'],
    ['71', 'the lock file could not be read'],
    ['77', 'what lies at its place is not a lock file of holdfast'],
  ],
  examples: [
    ['holdfast who jobs.json', 'Before killing what seems to hang:'],
    ['holdfast who jobs.json --json', 'For a program:'],
  ],

  async run({ values, operands, rest }) {
    const file = onlyOperand([...operands, ...(rest ?? [])], 'FILE');
    const inspection = await inspectLock(file);
    if (values.json) printJson(inspection, 2);
    else describe(inspection).forEach(printLine);
    return exitStatus[inspection.state];
  },
});

function describe(inspection: LockInspection): string[] {
  const { target, lockPath, pids, holder, previousHolder } = inspection;
  const lines = [`${target} is ${inWords(inspection)}`, `lock file: ${lockPath}`];
  if (pids.some((pid) => pid !== holder?.pid)) {
    lines.push(`taken by, says the system: pid ${pids.join(', ')}`);
  }
  if (inspection.state === 'held' && previousHolder !== null) {
    lines.push(`the lock file still names an earlier holder: ${describeHolder(previousHolder)}`);
  }
  if (inspection.ttl !== null) {
    lines.push(`taken over after ${formatDuration(inspection.ttl)} without a sign of life`);
  }
  if (inspection.malformed) {
    lines.push('the record in the lock file is damaged: who wrote it cannot be told');
  }
  return lines;
}

function inWords(inspection: LockInspection): string {
  const { state, shared, holder, previousHolder, inheritedBy } = inspection;
  if (state === 'unknown') return 'locked or not: it cannot be told';
  if (state === 'free') {
    return previousHolder
      ? `free; ${describeHolder(previousHolder)}, ended without releasing it`
      : 'free';
  }
  const mode = shared === null ? '' : shared ? ', shared' : ', exclusively';
  const heirs = inheritedBy.length > 0 ? `inherited by pid ${inheritedBy.join(', ')}` : null;
  if (!holder) {
    return `held${mode}, by ${describeHolder(null)}${heirs === null ? '' : `, and ${heirs}`}`;
  }
  const age = formatDuration(Math.max(0, Date.now() - holder.since.getTime()));
  const life = {
    alive: 'That process is alive.',
    dead: `That process is dead; ${heirs === null ? 'who has the lock now is unknown' : `the lock was ${heirs}`}.`,
    unknown: 'Whether that process is alive is unknown here.',
  };
  return `held${mode}, by ${describeHolder(holder)} (${age} ago). ${life[inspection.liveness]}`;
}
