import type { Child, Children, ChildOptions } from './child.js';

export interface JobOutcome {
  value?: unknown;
  error?: { message: string; code?: string; path?: string; refused?: boolean };
}

/** A process that calls a store as it is told. */
export class JobAgent {
  readonly child: Child;

  private constructor(child: Child) {
    this.child = child;
  }

  static async start(
    children: Children,
    directory: string,
    options: ChildOptions = {},
  ): Promise<JobAgent> {
    const child = children.fork('job-agent.mjs', { ...options, args: [directory] });
    await child.waitForMessage('ready');
    return new JobAgent(child);
  }

  async call(method: string, ...args: unknown[]): Promise<JobOutcome> {
    this.child.send('call', { method, args });
    const { value, error } = await this.child.waitForMessage('outcome');
    return { value, error } as JobOutcome;
  }
}
