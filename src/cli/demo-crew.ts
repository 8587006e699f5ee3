import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

import { monotonicNow } from './demo-protocol.js';
import type { Round, WriterMessage, WriterPlan } from './demo-protocol.js';
import { programFile } from './program-file.js';

export interface CrewPlan {
  readonly file: string;
  readonly processes: number;
  readonly rounds: number;
  readonly locked: boolean;
}

export interface CrewEvents {
  onRound(round: Round): void;
  onKill(deadPid: number): void;
  onReplacement(pid: number, rounds: number): void;
}

/** Who got the lock after the process that was killed inside. */
export interface TakeOver {
  readonly deadPid: number;
  readonly nextPid: number;
  readonly afterMs: number;
  /** Whether the lock told its next holder who had died. */
  readonly told: boolean;
}

/**
 * Starts the writers, kills the first one in the middle of its work, has another process do the rest of it, and
 * resolves when all are done. Whatever happens, no process is left in the end.
 */
export async function runCrew(
  plan: CrewPlan,
  events: CrewEvents,
  signal: AbortSignal,
): Promise<TakeOver | null> {
  const { file, processes, rounds, locked } = plan;
  const writers: Writer[] = [];
  let death: { pid: number; at: number } | null = null;
  let next: { pid: number; round: Round } | null = null;

  const onRound = (pid: number, round: Round): void => {
    events.onRound(round);
    if (
      death &&
      round.grantedAt > death.at &&
      round.grantedAt < (next?.round.grantedAt ?? Infinity)
    ) {
      next = { pid, round };
    }
  };
  let over = false;
  const start = (count: number, stayInRound: number | null): Writer => {
    if (over) throw new Error('the run is over');
    const writer = new Writer({ file, rounds: count, locked, stayInRound }, onRound);
    writers.push(writer);
    return writer;
  };
  const work = async (): Promise<void> => {
    const victim = start(rounds, Math.floor(rounds / 2));
    while (writers.length < processes) start(rounds, null);
    const survivors = writers.slice(1);
    await Promise.all(writers.map((writer) => writer.ready));
    for (const writer of writers) writer.go();

    await Promise.all([
      ...survivors.map((writer) => writer.finished),
      victim.inside.then(async () => {
        events.onKill(victim.pid);
        death = { pid: victim.pid, at: monotonicNow() };
        await victim.kill();
        const replacement = start(rounds - victim.rounds, null);
        events.onReplacement(replacement.pid, rounds - victim.rounds);
        await replacement.ready;
        replacement.go();
        await replacement.finished;
      }),
    ]);
  };

  try {
    await Promise.race([work(), rejectWhenAborted(signal)]);
    return takeOver(death, next);
  } finally {
    over = true;
    await Promise.all(writers.map((writer) => writer.kill()));
  }
}

function takeOver(
  death: { pid: number; at: number } | null,
  next: { pid: number; round: Round } | null,
): TakeOver | null {
  if (!death || !next) return null;
  return {
    deadPid: death.pid,
    nextPid: next.pid,
    afterMs: next.round.grantedAt - death.at,
    told: next.round.previousPid === death.pid,
  };
}

function rejectWhenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

/** One process of the crew. Each of its promises rejects when the process ends before what was promised. */
class Writer {
  readonly ready: Promise<void>;
  readonly inside: Promise<void>;
  readonly finished: Promise<void>;
  /** How many it has carried out and reported. */
  rounds = 0;
  readonly #child: ChildProcess;

  constructor(plan: WriterPlan, onRound: (pid: number, round: Round) => void) {
    const child = fork(programFile('demo-writer'), [JSON.stringify(plan)]);
    this.#child = child;
    let failure: string | undefined;
    const reached = { ready: () => {}, inside: () => {} };

    child.on('message', (message: WriterMessage) => {
      if (message.name === 'done') {
        this.rounds++;
        onRound(this.pid, message);
      } else if (message.name === 'failed') {
        failure = message.message;
      } else {
        reached[message.name]();
      }
    });
    const ended = new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      // 'close' comes after the last message, 'exit' may come before it.
      child.on('close', (code, signal) => {
        if (code === 0) resolve();
        else
          reject(
            new Error(failure ?? `process ${child.pid ?? '?'} ended with ${signal ?? code ?? '?'}`),
          );
      });
    });
    const untilEnd = (arrived: Promise<void>): Promise<void> =>
      Promise.race([
        arrived,
        ended.then(() => {
          throw new Error('a process ended too early');
        }),
      ]);
    this.finished = ended;
    this.ready = untilEnd(
      new Promise((resolve) => {
        reached.ready = resolve;
      }),
    );
    this.inside = untilEnd(
      new Promise((resolve) => {
        reached.inside = resolve;
      }),
    );
    // Not every one of them is awaited, and a process that we kill ends unlike it should.
    for (const promise of [this.ready, this.inside, this.finished]) promise.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  go(): void {
    this.#child.send('go');
  }

  /** Kills it, if it still runs, as nothing can be caught or cleaned up, and waits for its end. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.finished.catch(() => undefined);
  }
}
