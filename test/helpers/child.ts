import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';

import { patience, within } from './bounded-wait.js';
import { fixturesDirectory, projectDirectory } from './paths.js';

/**
 * What a fixture sends: `process.send({ name: 'ready', … })`. A fixture that ends by itself after that calls
 * `process.exit()` or `process.disconnect()` in the callback of its last `send`, else Node drops what is queued.
 */
export interface ChildMessage {
  name: string;
  [key: string]: unknown;
}

/** How a process ended: assert both, `toEqual({ code: 0, signal: null })`. */
export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** Arguments of the fixture. Only for `fork`. */
  args?: readonly string[];
  /** Added to this process's environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  /** The project directory by default. */
  cwd?: string;
  /** The user and group to run as; needs root. See `ordinaryUser` in capabilities.ts. */
  uid?: number;
  gid?: number;
  /** Options of Node itself, such as `--expose-gc`. Only for `fork` and `spawnNode`. */
  execArgv?: readonly string[];
  /** The Node binary. Only for `fork` and `spawnNode`. */
  execPath?: string;
  /** Put before the command line, as in `['strace', '-f', '-o', log]`. IPC passes through it. */
  prefix?: readonly string[];
}

/** Starts processes that `withChildren` reaps. */
export interface Children {
  /** Runs a program of test/fixtures (or of an absolute path) in Node, with an IPC channel. */
  fork(fixture: string, options?: ChildOptions): Child;
  /** Runs Node with these arguments, without an IPC channel. */
  spawnNode(args: readonly string[], options?: ChildOptions): Child;
  /** Runs any program, without an IPC channel. */
  spawn(command: string, args: readonly string[], options?: ChildOptions): Child;
}

/**
 * Hands `use` the means to start processes. Whatever `use` does, in the end every one of them, stopped or not, and
 * everything they started and left in their process group is killed and waited for.
 */
export async function withChildren<T>(use: (children: Children) => T | Promise<T>): Promise<T> {
  const started: Child[] = [];
  const start = (command: readonly string[], ipc: boolean, options: ChildOptions): Child => {
    const child = new Child([...(options.prefix ?? []), ...command], ipc, options);
    started.push(child);
    return child;
  };
  const node = (options: ChildOptions): string[] => [
    options.execPath ?? process.execPath,
    ...(options.execArgv ?? []),
  ];
  try {
    return await use({
      fork: (fixture, options = {}) => {
        const file = path.resolve(fixturesDirectory, fixture);
        return start([...node(options), file, ...(options.args ?? [])], true, options);
      },
      spawnNode: (args, options = {}) => start([...node(options), ...args], false, options),
      spawn: (command, args, options = {}) => start([command, ...args], false, options),
    });
  } finally {
    await Promise.all(started.map((child) => child.reap()));
  }
}

/** Runs a program to its end and hands back how it ended and what it printed. */
export async function run(
  command: string,
  args: readonly string[],
  options: ChildOptions & { timeout?: number } = {},
): Promise<ChildExit & { stdout: string; stderr: string }> {
  return withChildren(async (children) => {
    const child = children.spawn(command, args, options);
    const exit = await child.waitForExit(options.timeout);
    return { ...exit, stdout: child.stdout, stderr: child.stderr };
  });
}

/** Runs Node to its end: `run` with this process's own Node. */
export async function runNode(
  args: readonly string[],
  options: ChildOptions & { timeout?: number } = {},
): Promise<ChildExit & { stdout: string; stderr: string }> {
  const { execPath = process.execPath, execArgv = [] } = options;
  return run(execPath, [...execArgv, ...args], options);
}

/** A running process, what it has said so far, and bounded waits for what it will say and for its end. */
export class Child {
  readonly process: ChildProcess;
  readonly #commandLine: string;
  readonly #messages: ChildMessage[] = [];
  readonly #news = new EventEmitter();
  readonly #closed: Promise<ChildExit>;
  #stdout = '';
  #stderr = '';
  #spawnError: Error | undefined;
  #ended = false;

  /** Processes are started by `withChildren`, which also reaps them. */
  constructor(command: readonly string[], ipc: boolean, options: ChildOptions) {
    this.#commandLine = command.join(' ');
    const [file = '', ...args] = command;
    const child = spawn(file, args, {
      cwd: options.cwd ?? projectDirectory,
      env: { ...process.env, ...options.env },
      stdio: ipc ? ['pipe', 'pipe', 'pipe', 'ipc'] : ['pipe', 'pipe', 'pipe'],
      // A process group of its own, so that what it leaves behind can be found and killed.
      detached: process.platform !== 'win32',
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    this.process = child;
    this.#news.setMaxListeners(0);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#news.emit('news');
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#news.emit('news');
    });
    // A write to a process that has just ended fails; its exit tells the story.
    child.stdin?.on('error', () => undefined);
    child.on('message', (message) => {
      this.#messages.push(message as ChildMessage);
      this.#news.emit('news');
    });
    this.#closed = this.#end(ipc);
  }

  async #end(ipc: boolean): Promise<ChildExit> {
    const child = this.process;
    child.on('error', (error) => {
      if (child.pid === undefined) this.#spawnError = error;
    });
    // Not 'exit': only now have all output and all messages arrived.
    const closed = new Promise<ChildExit>((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal });
      });
    });
    const disconnected = new Promise<void>((resolve) => {
      if (ipc) child.once('disconnect', resolve);
      else resolve();
    });
    const [exit] = await Promise.all([closed, disconnected]);
    this.#ended = true;
    this.#news.emit('news');
    return exit;
  }

  /** The process id of what was started (with a `prefix`, of the prefix's program). */
  get pid(): number {
    if (this.process.pid === undefined) throw new Error(this.#story('has no process id'));
    return this.process.pid;
  }

  /** What it printed so far. */
  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a message over the IPC channel. */
  send(name: string, data: Record<string, unknown> = {}): void {
    this.process.send({ name, ...data });
  }

  /**
   * The first message of this name that no earlier call has taken. Rejects at once if the process ends without having
   * sent it, and after `timeout` milliseconds.
   */
  async waitForMessage(name: string, timeout: number = patience): Promise<ChildMessage> {
    return this.#waitFor(`the message '${name}'`, timeout, () => {
      const index = this.#messages.findIndex((message) => message.name === name);
      return index === -1 ? undefined : this.#messages.splice(index, 1)[0];
    });
  }

  /** The messages of this name that have come so far and were not taken. */
  messagesSoFar(name: string): ChildMessage[] {
    return this.#messages.filter((message) => message.name === name);
  }

  /** Waits until what it printed on stdout so far matches, and hands back the match. */
  async waitForOutput(pattern: RegExp, timeout: number = patience): Promise<RegExpExecArray> {
    return this.#waitFor(
      `output like ${String(pattern)}`,
      timeout,
      () => pattern.exec(this.#stdout) ?? undefined,
    );
  }

  async #waitFor<T>(what: string, timeout: number, look: () => T | undefined): Promise<T> {
    const stop = new AbortController();
    const search = async (): Promise<T> => {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        if (this.#ended) throw new Error(this.#story(`ended without ${what}`));
        await once(this.#news, 'news', { signal: stop.signal });
      }
    };
    try {
      return await within(search(), () => this.#story(what), timeout);
    } finally {
      stop.abort();
    }
  }

  /** How the process ended, once it has, with all its output read. */
  async waitForExit(timeout: number = patience): Promise<ChildExit> {
    const exit = await within(this.#closed, () => this.#story('the end'), timeout);
    if (this.#spawnError) throw this.#spawnError;
    return exit;
  }

  /** Sends a signal to the process alone. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.process.kill(signal);
  }

  /** Kills the process and its group and waits for the end. `withChildren` calls it. */
  async reap(): Promise<void> {
    if (this.process.pid === undefined) return;
    if (!this.#ended) this.process.kill('SIGKILL');
    if (process.platform !== 'win32') killGroup(this.process.pid);
    // Something that left the group may hold the pipes open: those are ours to close.
    this.process.stdout?.destroy();
    this.process.stderr?.destroy();
    await within(this.#closed, () => this.#story('the end after SIGKILL'));
  }

  #story(what: string): string {
    const { pid, exitCode, signalCode } = this.process;
    const state = `exit code ${String(exitCode)}, signal ${String(signalCode)}`;
    return [
      `${what} (${this.#commandLine}, pid ${String(pid)}, ${state})`,
      ...(this.#spawnError ? [`could not be started: ${this.#spawnError.message}`] : []),
      ...(this.#stdout === '' ? [] : [`stdout: ${this.#stdout}`]),
      ...(this.#stderr === '' ? [] : [`stderr: ${this.#stderr}`]),
    ].join('\n');
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    // ESRCH: nobody is left in the group. EPERM (macOS): only zombies are.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
