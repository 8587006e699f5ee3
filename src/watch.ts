/** The slow look, about once a second, at what nobody tells us of: a lock file that an outsider removed or replaced. */
export const lookInterval = 1000;

export interface Watched {
  /** Looks, and returns false when there is nothing to look at any more. */
  watch(): boolean;
}

// Weak, so that a lock that is dropped without release can be noticed.
const watched = new Set<WeakRef<Watched>>();
const checks = new Set<() => void>();
let timer: NodeJS.Timeout | undefined;

/** Looks at a held lock until it is released or lost. */
export function watchForLoss(lock: Watched): void {
  watched.add(new WeakRef(lock));
  start();
}

/** Calls `check` at each look until the returned function is called. Does not keep the process alive. */
export function atEachLook(check: () => void): () => void {
  checks.add(check);
  start();
  // The timer ends itself at its next look: it may be needed again before, and a caller was granted a lock just now.
  return () => {
    checks.delete(check);
  };
}

function start(): void {
  timer ??= setInterval(look, lookInterval).unref();
}

function stopIfIdle(): void {
  if (watched.size > 0 || checks.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}

function look(): void {
  for (const reference of watched) {
    const lock = reference.deref();
    if (lock === undefined || !lock.watch()) watched.delete(reference);
  }
  for (const check of [...checks]) check();
  stopIfIdle();
}
