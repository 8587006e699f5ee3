/** Listening to signals that many calls share. */

type AbortListener = () => void;

/** Who listens to a signal, with one listener of the signal's own: more than ten would look like a leak. */
const listeners = new WeakMap<AbortSignal, Set<AbortListener>>();

/** Calls `listener` once when `signal` is aborted, unless the returned function is called before. */
export function whenAborted(signal: AbortSignal | undefined, listener: AbortListener): () => void {
  if (signal === undefined) return listenToNothing;
  const known = listeners.get(signal);
  const all = known ?? new Set<AbortListener>();
  all.add(listener);
  if (known === undefined) {
    listeners.set(signal, all);
    signal.addEventListener('abort', callAll, { once: true });
  }
  return () => {
    if (!all.delete(listener) || all.size > 0 || listeners.get(signal) !== all) return;
    listeners.delete(signal);
    signal.removeEventListener('abort', callAll);
  };
}

const listenToNothing: AbortListener = () => undefined;

function callAll(this: AbortSignal): void {
  const all = listeners.get(this);
  listeners.delete(this);
  // One that is called may make others leave.
  for (const listener of all ?? []) listener();
}
