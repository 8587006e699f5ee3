import type { LockHolder, ReplaceFailure, ReplaceResult, ReplaceSyncOptions } from 'holdfast';

import type { LockAgent } from './lock-agent.js';

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

/** A lock as an agent tells of it. */
export interface KeptLock {
  number: number;
  state: LockState;
}
