/** What one process of the demo is to do: its only argument, as JSON. */
export interface WriterPlan {
  readonly file: string;
  readonly rounds: number;
  readonly locked: boolean;
  /** In this round it stays between reading and writing until it is killed. */
  readonly stayInRound: number | null;
}

/** What it reports to the process that started it, which sends one message of any kind to make it go. */
export type WriterMessage =
  | { readonly name: 'ready' }
  /** It has read, has written half of what it is about to publish, and stays there. */
  | { readonly name: 'inside' }
  | ({ readonly name: 'done' } & Round)
  | { readonly name: 'failed'; readonly message: string };

/** One read-modify-write that has been carried out. */
export interface Round {
  readonly waitedMs: number;
  /** On the clock of `monotonicNow`. */
  readonly grantedAt: number;
  /** The process that held the lock before and ended without releasing it. */
  readonly previousPid: number | null;
}

/** Milliseconds on a clock that all processes of this machine share and that nobody sets. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
