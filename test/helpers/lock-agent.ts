import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { Worker } from 'node:worker_threads';

import type {
  FileContents,
  HoldfastEventName,
  HoldfastEvents,
  InspectOptions,
  JournalOptions,
  LockHolder,
  LockInspection,
  LockOptions,
  LockSyncOptions,
  ReadOptions,
  ReplaceFailure,
  ReplaceResult,
  ReplaceSyncOptions,
  SessionOptions,
  SessionTransition,
  TryLockOptions,
  UpdateOptions,
  UpdateSyncOptions,
} from 'holdfast';

import { patience, within } from './bounded-wait.js';
import { withChildren } from './child.js';
import type { Child, ChildExit, ChildOptions, Children } from './child.js';
import { fixturesDirectory } from './paths.js';

/** Options as they can be sent to another thread or process. */
export type AgentOptions<Options> = Omit<Options, 'signal' | 'onWait'>;

/** A part of a stream that an agent makes: a chunk, or a call of node:fs in between. */
export type StreamStep = { chunk: string | Uint8Array } | { call: string; args: unknown[] };

/** What a `FileLock` in an agent looked like. */
export interface LockState {
  target: string;
  lockPath: string;
  shared: boolean;
  token: number | null;
  held: boolean;
  lost: boolean;
  failedOpen: boolean;
  previousHolder: LockHolder | null;
}

/** An error that an agent's call ended with, with the fields that it had there. */
export class AgentError extends Error {
  declare readonly code?: string;
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly path?: string;
  declare readonly refused?: boolean;
  declare readonly holder?: LockHolder | null;
  declare readonly phase?: ReplaceFailure['phase'];
  declare readonly published?: boolean;
  declare readonly targetState?: ReplaceFailure['targetState'];

  constructor(fields: Record<string, unknown>) {
    super(String(fields.message));
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: true });
    }
  }
}

/** A lock that an agent took. */
export class AgentLock implements LockState {
  readonly target: string;
  readonly lockPath: string;
  readonly shared: boolean;
  readonly token: number | null;
  readonly held: boolean;
  readonly lost: boolean;
  readonly failedOpen: boolean;
  readonly previousHolder: LockHolder | null;
  readonly #agent: LockAgent;
  readonly #number: number;

  constructor(agent: LockAgent, { number, state }: KeptLock) {
    this.#agent = agent;
    this.#number = number;
    this.target = state.target;
    this.lockPath = state.lockPath;
    this.shared = state.shared;
    this.token = state.token;
    this.held = state.held;
    this.lost = state.lost;
    this.failedOpen = state.failedOpen;
    this.previousHolder = state.previousHolder;
  }

  /** `release()`, or leaving the callback of `withLock` and waiting for that to settle; hands back the state after it. */
  async release(): Promise<LockState> {
    return this.#agent.call<LockState>('release', this.#number);
  }

  /** `releaseSync()`, whichever way the lock was taken. */
  async releaseSync(): Promise<LockState> {
    return this.#agent.call<LockState>('releaseSync', this.#number);
  }

  async verify(): Promise<void> {
    await this.#agent.call('verify', this.#number);
  }

  /** `replaceFile()` of the lock. */
  async replaceFile(
    data: string | Uint8Array,
    options?: ReplaceSyncOptions,
  ): Promise<ReplaceResult> {
    return this.#agent.call<ReplaceResult>('replaceUnderLock', this.#number, data, options);
  }

  /** Resolves with the reason of the lock's `signal` when that is aborted. */
  async loss(): Promise<AgentError> {
    return new AgentError(await this.#agent.call('loss', this.#number));
  }

  /** What the lock looks like now; the properties of this object tell how it was when it was granted. */
  async state(): Promise<LockState> {
    return this.#agent.call<LockState>('state', this.#number);
  }
}

interface KeptLock {
  number: number;
  state: LockState;
}

interface Reply {
  name: string;
  payload: string;
}

/** How commands reach an agent and replies come back. */
interface Line {
  send(message: { name: string; id: number; payload: string }): void;
  /** Rejects at once if the agent ends without having replied. */
  receive(name: string, timeout: number): Promise<Reply>;
}

/**
 * Somebody else who uses holdfast: a process or a worker thread. Every call resolves with what it came to there, or
 * rejects with an `AgentError`. The synchronous forms block the agent, not the caller.
 */
export class LockAgent {
  readonly #line: Line;
  #lastId = 0;

  /** Agents are started by `withLockAgents`. */
  constructor(line: Line) {
    this.#line = line;
  }

  async lock(target: string, options?: AgentOptions<LockOptions>): Promise<AgentLock> {
    return this.#take('lock', target, options);
  }

  async tryLock(target: string, options?: TryLockOptions): Promise<AgentLock | null> {
    return this.#try('tryLock', target, options);
  }

  async lockSync(target: string, options?: AgentOptions<LockSyncOptions>): Promise<AgentLock> {
    return this.#take('lockSync', target, options);
  }

  async tryLockSync(target: string, options?: TryLockOptions): Promise<AgentLock | null> {
    return this.#try('tryLockSync', target, options);
  }

  /** Resolves inside the callback of `withLock`, which ends when the lock is released. */
  async withLock(target: string, options?: AgentOptions<LockOptions>): Promise<AgentLock> {
    return this.#take('withLock', target, options);
  }

  /** Resolves after `withLockSync`, whose callback took that many milliseconds: the lock is not held any more. */
  async withLockSync(
    target: string,
    options?: AgentOptions<LockSyncOptions>,
    milliseconds = 0,
  ): Promise<AgentLock> {
    return new AgentLock(
      this,
      await this.call<KeptLock>('withLockSync', target, options, milliseconds),
    );
  }

  async inspectLock(target: string, options?: InspectOptions): Promise<LockInspection> {
    return this.call<LockInspection>('inspectLock', target, options);
  }

  async replaceFile(
    target: string,
    data: string | Uint8Array | StreamStep[],
    options?: ReplaceSyncOptions,
  ): Promise<ReplaceResult> {
    return this.call<ReplaceResult>('replaceFile', target, data, options);
  }

  async replaceFileSync(
    target: string,
    data: string | Uint8Array,
    options?: ReplaceSyncOptions,
  ): Promise<ReplaceResult> {
    return this.call<ReplaceResult>('replaceFileSync', target, data, options);
  }

  async readRegularFile(target: string, options?: ReadOptions): Promise<FileContents | null> {
    return this.call<FileContents | null>('readRegularFile', target, options);
  }

  /** Appends `text` to the file by `updateFile`. */
  async updateFile(
    target: string,
    text: string,
    options?: AgentOptions<UpdateOptions>,
  ): Promise<Uint8Array | null> {
    return this.call('updateFile', target, text, options);
  }

  async updateFileSync(
    target: string,
    text: string,
    options?: AgentOptions<UpdateSyncOptions>,
  ): Promise<Uint8Array | null> {
    return this.call('updateFileSync', target, text, options);
  }

  /** An update whose function throws an error with that message. */
  async failUpdate(target: string, message: string): Promise<never> {
    return this.call('failUpdate', target, message);
  }

  /** Opens the one journal of the agent. */
  async openJournal(file: string, options?: JournalOptions): Promise<void> {
    await this.call('openJournal', file, options);
  }

  /** Hands back how many lines were lost. */
  async closeJournal(): Promise<number> {
    return this.call('closeJournal');
  }

  /**
   * Resolves inside the function of `updateFile`; the function that it hands back lets that one return `contents`, and
   * resolves with what the update came to.
   */
  async update(
    target: string,
    contents: string,
    options?: AgentOptions<UpdateOptions>,
  ): Promise<() => Promise<Buffer | null>> {
    const number = await this.call<number>('update', target, contents, options);
    return () => this.call<Buffer | null>('endUpdate', number);
  }

  /** A transition of the session lock `file`. */
  async session(
    method: 'create' | 'renew' | 'release' | 'breakStale',
    file: string,
    options?: SessionOptions,
  ): Promise<SessionTransition> {
    return this.call<SessionTransition>('session', method, file, options);
  }

  /** What was published so far on the diagnostics channel of this event. */
  async events<Name extends HoldfastEventName>(
    event: Name,
  ): Promise<{ event: Name; data: HoldfastEvents[Name] }[]> {
    return this.call('events', event);
  }

  /** Runs a child of the agent to its end, which blocks the agent. */
  async run(
    command: string,
    args: readonly string[],
  ): Promise<{ status: number | null; stdout: string; stderr: string }> {
    return this.call('run', command, args);
  }

  /** Starts a child of the agent, which may outlive it, and hands back its process id. */
  async start(command: string, args: readonly string[]): Promise<number> {
    return this.call<number>('start', command, args);
  }

  /** Sets the umask, if one is given, and hands back the one before. Workers can only read it. */
  async umask(mask?: number): Promise<number> {
    return this.call<number>('umask', mask);
  }

  /** Resolves when the agent is about to block its event loop for that long. */
  async block(milliseconds: number): Promise<void> {
    await this.call('block', milliseconds);
  }

  /** Resolves when the agent is about to call `process.exit()`, which in a worker ends the worker. */
  async exit(code = 0): Promise<void> {
    await this.call('exit', code);
  }

  /** Resolves when the agent is about to throw an error that nobody catches. */
  async throw(message = 'thrown on command'): Promise<void> {
    await this.call('throw', message);
  }

  /** Resolves when the agent runs. */
  async ready(): Promise<void> {
    await this.#line.receive('ready', patience);
  }

  /** Sends any command and hands back what it came to. A call that blocks may take ten minutes. */
  async call<T>(command: string, ...args: unknown[]): Promise<T> {
    this.#lastId += 1;
    const id = this.#lastId;
    const payload = serialize({ command, args }).toString('base64');
    this.#line.send({ name: 'command', id, payload });
    const reply = await this.#line.receive(`reply ${id}`, 600_000);
    const content = deserialize(Buffer.from(reply.payload, 'base64')) as
      { value: T } | { error: Record<string, unknown> };
    if ('error' in content) throw new AgentError(content.error);
    return content.value;
  }

  async #take(command: string, target: string, options: unknown): Promise<AgentLock> {
    return new AgentLock(this, await this.call<KeptLock>(command, target, options));
  }

  async #try(command: string, target: string, options: unknown): Promise<AgentLock | null> {
    const kept = await this.call<KeptLock | null>(command, target, options);
    return kept && new AgentLock(this, kept);
  }
}

/** An agent that is a process of its own. */
export class ProcessAgent extends LockAgent {
  readonly child: Child;

  constructor(child: Child) {
    super({
      send: ({ name, ...data }) => child.send(name, data),
      receive: async (name, timeout) => {
        const { payload } = await child.waitForMessage(name, timeout);
        return { name, payload: String(payload) };
      },
    });
    this.child = child;
  }

  get pid(): number {
    return this.child.pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async waitForExit(): Promise<ChildExit> {
    return this.child.waitForExit();
  }
}

/** An agent that is a worker thread of this process. */
export class WorkerAgent extends LockAgent {
  readonly worker: Worker;
  /** The exit code of the worker, once it has ended. */
  readonly ended: Promise<number>;

  constructor(worker: Worker) {
    const replies = new Map<string, Reply>();
    const news = new EventEmitter().setMaxListeners(0);
    let failure = '';
    let end: string | undefined;
    worker.on('message', (reply: Reply) => {
      replies.set(reply.name, reply);
      news.emit('news');
    });
    // This may come before the messages that the worker sent first; its exit comes after them.
    worker.on('error', (error: Error) => (failure = ` by ${error.message}`));
    const ended = new Promise<number>((resolve) => {
      worker.once('exit', (code) => {
        end = `ended${failure} with exit code ${code}`;
        news.emit('news');
        resolve(code);
      });
    });
    const receive = async (name: string): Promise<Reply> => {
      for (;;) {
        const reply = replies.get(name);
        if (reply !== undefined) {
          replies.delete(name);
          return reply;
        }
        if (end !== undefined) throw new Error(`The worker ${end} without '${name}'`);
        await once(news, 'news');
      }
    };
    super({
      send: (message) => worker.postMessage(message),
      receive: (name, timeout) => within(receive(name), `the worker's '${name}'`, timeout),
    });
    this.worker = worker;
    this.ended = ended;
  }

  /** Resolves with the exit code of the worker, 1. */
  async terminate(): Promise<number> {
    return this.worker.terminate();
  }
}

/** Starts agents that `withLockAgents` reaps, and other processes as `withChildren` does. */
export interface LockAgents {
  children: Children;
  process(options?: ChildOptions): Promise<ProcessAgent>;
  worker(): Promise<WorkerAgent>;
}

/** Hands `use` the means to start agents, and ends all of them whatever it does. */
export async function withLockAgents<T>(use: (agents: LockAgents) => T | Promise<T>): Promise<T> {
  const workers: Worker[] = [];
  const ready = async <Agent extends LockAgent>(agent: Agent): Promise<Agent> => {
    await agent.ready();
    return agent;
  };
  return withChildren(async (children) => {
    try {
      return await use({
        children,
        process: (options) => ready(new ProcessAgent(children.fork('lock-agent.mjs', options))),
        worker: () => {
          const file = path.join(fixturesDirectory, 'lock-agent.mjs');
          const worker = new Worker(file, { execArgv: [] });
          workers.push(worker);
          return ready(new WorkerAgent(worker));
        },
      });
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
}
