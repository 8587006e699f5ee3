import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

import { within } from './bounded-wait.js';
import { withChildren } from './child.js';
import type { Child, ChildExit, ChildOptions, Children } from './child.js';
import { LockAgent } from './lock-agent.js';
import type { Reply } from './lock-agent.js';
import { fixturesDirectory } from './paths.js';

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
