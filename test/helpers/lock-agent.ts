import { deserialize, serialize } from 'node:v8';

import type {
  FileContents,
  HoldfastEventName,
  HoldfastEvents,
  InspectOptions,
  JournalOptions,
  LockInspection,
  LockOptions,
  LockSyncOptions,
  ReadOptions,
  ReplaceResult,
  ReplaceSyncOptions,
  SessionOptions,
  SessionTransition,
  TryLockOptions,
  UpdateOptions,
  UpdateSyncOptions,
} from 'holdfast';

import { AgentError, AgentLock } from './agent-lock.js';
import type { KeptLock } from './agent-lock.js';
import { patience } from './bounded-wait.js';

/** Options as they can be sent to another thread or process. */
export type AgentOptions<Options> = Omit<Options, 'signal' | 'onWait'>;

/** A part of a stream that an agent makes: a chunk, or a call of node:fs in between. */
export type StreamStep = { chunk: string | Uint8Array } | { call: string; args: unknown[] };

/** What an agent answers. */
export interface Reply {
  name: string;
  payload: string;
}

/** How commands reach an agent and replies come back. */
export interface Line {
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
    return this.#take('withLockSync', target, options, milliseconds);
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

  async readRegularFileSync(target: string, options?: ReadOptions): Promise<FileContents | null> {
    return this.call<FileContents | null>('readRegularFileSync', target, options);
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

  async #take(command: string, ...args: unknown[]): Promise<AgentLock> {
    return new AgentLock(this, await this.call<KeptLock>(command, ...args));
  }

  async #try(command: string, target: string, options: unknown): Promise<AgentLock | null> {
    const kept = await this.call<KeptLock | null>(command, target, options);
    return kept && new AgentLock(this, kept);
  }
}
