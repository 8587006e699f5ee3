const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal asked the command to end. */
export class Interruption extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(signal);
    this.signal = signal;
  }
}

/** While `use` runs, the signals that ask a program to end abort it with an {@link Interruption} instead. */
export async function interruptible<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const listener = (signal: NodeJS.Signals): void => {
    controller.abort(new Interruption(signal));
  };
  for (const signal of signals) process.on(signal, listener);
  try {
    return await use(controller.signal);
  } finally {
    for (const signal of signals) process.off(signal, listener);
  }
}
