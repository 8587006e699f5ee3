import { chownSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { contentsOf } from '../test/fixtures/numbered-contents.cjs';
import type { Child, ChildExit, ChildOptions, Children } from '../test/helpers/child.js';
import { until } from '../test/helpers/process-figures.js';
import type { HistoryEvent } from './history.js';
import type { Random } from './random.mjs';

/** What a client is told on its command line. */
interface ClientPlan {
  name: string;
  target: string;
  logs: string;
  /** The client ends when this file exists. */
  stopFile: string;
  seed: number;
  /** Milliseconds; 0: its locks are never taken over. */
  ttl: number;
  maxSize: number;
  /** The number that its versions begin after. */
  versions: number;
  /** It works in worker threads, which it terminates. */
  workers: boolean;
  /** It calls `process.exit()` after a while, wherever it is. */
  exits: boolean;
  fault?: string;
}

export type ClientTraits = Partial<
  Pick<ClientPlan, 'ttl' | 'maxSize' | 'workers' | 'exits' | 'fault'>
>;

export interface Client {
  child: Child;
  plan: ClientPlan;
}

const clientProgram = path.join(import.meta.dirname, 'client.mjs');
/** How long a client may take to end after it was told to: far longer than any wait for a lock. */
const patience = 60_000;

/** A file, and the processes that lock, read and replace it; one that ended is replaced by another. */
export class World {
  readonly target: string;
  readonly lockFile: string;
  readonly clients: Client[] = [];
  /** Ends that nobody caused. */
  readonly crashes: string[] = [];
  readonly #logs: string;
  readonly #stopFile: string;
  #started = 0;

  /** `directory` is where the file is, `aside` a place for what the nemeses must not reach. */
  constructor(
    readonly children: Children,
    readonly directory: string,
    readonly aside: string,
    readonly random: Random,
    private readonly traits: ClientTraits,
    private readonly options: ChildOptions,
  ) {
    this.target = path.join(directory, 'data');
    this.lockFile = path.join(directory, '.data.lock');
    this.#logs = aside;
    this.#stopFile = path.join(aside, 'stop');
    writeFileSync(this.target, contentsOf(0, 100));
    if (options.uid !== undefined && options.gid !== undefined) {
      chownSync(this.target, options.uid, options.gid);
    }
  }

  start(): Client {
    const number = ++this.#started;
    const plan: ClientPlan = {
      name: `client-${number}`,
      target: this.target,
      logs: this.#logs,
      stopFile: this.#stopFile,
      seed: this.random(2 ** 31),
      ttl: 0,
      maxSize: 20_000,
      // Room for a hundred thousand threads, with a million writes each.
      versions: number * 100_000_000_000,
      workers: false,
      exits: false,
      ...this.traits,
    };
    const child = this.children.spawnNode([clientProgram, JSON.stringify(plan)], this.options);
    const client = { child, plan };
    this.clients.push(client);
    return client;
  }

  /** One of the clients that work, by chance. */
  async anyClient(): Promise<Client> {
    let working: Client[] = [];
    await until(
      () => {
        working = this.clients.filter(
          ({ child, plan }) => child.process.exitCode === null && this.#hasBegun(plan.name),
        );
        return working.length > 0;
      },
      () => `a client to begin: ${this.crashes.join('\n')}`,
    );
    const client = working[this.random(working.length)];
    if (client === undefined) throw new Error('There are no clients');
    return client;
  }

  /** The one that was started first. */
  oldestClient(): Client {
    return this.clients[0] ?? this.start();
  }

  /** Puts another client in the place of one that has ended, or is about to, in the given way. */
  async replaceClient(client: Client, expected: (exit: ChildExit) => boolean): Promise<void> {
    this.clients.splice(this.clients.indexOf(client), 1);
    this.start();
    await this.#expectExit(client, expected);
  }

  /** Whether the client of that name is in the middle of something, as far as its log tells. */
  isBusy(client: string): boolean {
    return this.#logsOf(client).some(endsInside);
  }

  /** Whether it has a lock that may be taken over. */
  holdsWithTtl(client: string): boolean {
    return this.#logsOf(client).some((events) => {
      const last = events.findLast(({ kind }) => kind !== 'turn');
      const grant = events.findLast(({ kind }) => kind === 'grant');
      return last && isUnderLock(last) && grant?.kind === 'grant' && grant.ttl > 0;
    });
  }

  #logsOf(client: string): HistoryEvent[][] {
    return readdirSync(this.#logs)
      .filter((name) => ofClient(name, client))
      .map((name) => readLog(path.join(this.#logs, name)));
  }

  /** Lets every client come to its end. */
  async stop(): Promise<void> {
    writeFileSync(this.#stopFile, '');
    for (const { child } of this.clients) child.kill('SIGCONT');
    const clients = this.clients.splice(0);
    await Promise.all(clients.map((client) => this.#expectExit(client, endedWell)));
  }

  history(): HistoryEvent[] {
    return readdirSync(this.#logs)
      .filter((name) => name.endsWith('.log'))
      .flatMap((name) => readLog(path.join(this.#logs, name)));
  }

  /** How many threads ended in the middle of something. */
  interrupted(): number {
    return readdirSync(this.#logs)
      .filter((name) => name.endsWith('.log'))
      .filter((name) => endsInside(readLog(path.join(this.#logs, name)))).length;
  }

  async #expectExit(client: Client, expected: (exit: ChildExit) => boolean): Promise<void> {
    try {
      const exit = await client.child.waitForExit(patience);
      if (expected(exit)) return;
      const how = exit.signal ?? `exit code ${String(exit.code)}`;
      this.crashes.push(`${client.plan.name} ended with ${how}: ${client.child.stderr}`);
    } catch (error) {
      this.crashes.push(`${client.plan.name} does not end: ${String(error)}`);
    }
  }

  /** Resolves when every client has begun to work. */
  async ready(): Promise<void> {
    await until(
      () => this.clients.every(({ plan }) => this.#hasBegun(plan.name)),
      () => `the clients to begin: ${this.clients.map(({ child }) => child.stderr).join('\n')}`,
    );
  }

  #hasBegun(client: string): boolean {
    return readdirSync(this.#logs).some((name) => ofClient(name, client));
  }
}

export const endedWell = ({ code, signal }: ChildExit): boolean => code === 0 && signal === null;
export const killed = ({ signal }: ChildExit): boolean => signal === 'SIGKILL';

const ofClient = (name: string, client: string): boolean =>
  name === `${client}.log` || name.startsWith(`${client}-`);

function readLog(file: string): HistoryEvent[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  // A process that was killed may have left half a line.
  return lines.slice(0, -1).map((line) => JSON.parse(line, reviveTimes) as HistoryEvent);
}

const reviveTimes = (_key: string, value: unknown): unknown =>
  typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value;

/** Whether the last thing that a thread tells is the beginning of something. */
function endsInside(events: readonly HistoryEvent[]): boolean {
  const last = events.findLast(({ kind }) => kind !== 'turn');
  return last !== undefined && (last.kind === 'invoke' || isUnderLock(last));
}

const isUnderLock = (event: HistoryEvent): boolean =>
  event.kind === 'grant' ||
  event.kind === 'write' ||
  (event.kind === 'read' && event.hold !== null);
