import type { LockOptions, UnlockOptions } from 'holdfast/proper-lockfile';

import type { Child, ChildExit } from './child.js';
import { withChildren } from './child.js';

/** Whose proper-lockfile a process uses: that of this package, or the published one. */
export type Whose = 'ours' | 'theirs';

type Options<Given> = Omit<Given, 'fs' | 'signal' | 'onCompromised'>;

/** An error as it was in another process. */
export class LockfileAgentError extends Error {
  readonly code: unknown;
  readonly file: unknown;

  constructor({ message, code, file }: Record<string, unknown>) {
    super(String(message));
    this.code = code;
    this.file = file;
  }
}

/** A process that uses proper-lockfile on command. */
export class LockfileAgent {
  readonly child: Child;
  #lastId = 0;

  constructor(child: Child) {
    this.child = child;
  }

  /** Resolves with the number of the lock. */
  async lock(file: string, options?: Options<LockOptions>): Promise<number> {
    return this.call('lock', file, options);
  }

  async lockSync(file: string, options?: Options<LockOptions>): Promise<number> {
    return this.call('lockSync', file, options);
  }

  async release(number: number): Promise<void> {
    return this.call('release', number);
  }

  async unlock(file: string, options?: Options<UnlockOptions>): Promise<void> {
    return this.call('unlock', file, options);
  }

  async check(file: string, options?: Options<LockOptions>): Promise<boolean> {
    return this.call('check', file, options);
  }

  /** The error that `onCompromised` is called with next. */
  async compromised(): Promise<LockfileAgentError> {
    const { error } = await this.child.waitForMessage('compromised');
    return new LockfileAgentError(error as Record<string, unknown>);
  }

  async call<Result>(name: string, ...args: unknown[]): Promise<Result> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.child.send(name, { id, args });
    const { value, error } = await this.child.waitForMessage(`reply ${id}`);
    if (error !== undefined) throw new LockfileAgentError(error as Record<string, unknown>);
    return value as Result;
  }

  async end(signal: NodeJS.Signals): Promise<ChildExit> {
    this.child.kill(signal);
    return this.child.waitForExit();
  }
}

/** Hands `use` the means to start such processes, which are ended whatever it does. */
export async function withLockfileAgents<T>(
  use: (start: (whose: Whose) => Promise<LockfileAgent>) => Promise<T>,
): Promise<T> {
  return withChildren((children) =>
    use(async (whose) => {
      const child = children.fork('lockfile-agent.cjs', { args: [whose] });
      await child.waitForMessage('ready');
      return new LockfileAgent(child);
    }),
  );
}
