/** The end of the process, which is to leave no lock behind, whether it comes by itself or by a signal. */
import { isMainThread } from 'node:worker_threads';

/** What ends a process that does not listen, and what users and supervisors end one by. */
const endingSignals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const;

let atEnd: (() => void) | null = null;

function onExit(): void {
  atEnd?.();
}

/**
 * A process that listens to a signal is not ended by it. So if nobody else listens, this ends it after all; and if somebody
 * does, it steps back, so that whoever counts listeners to find out the same (signal-exit does) is not misled.
 */
function onSignal(signal: NodeJS.Signals): void {
  process.removeListener(signal, onSignal);
  if (process.listenerCount(signal) === 0) {
    atEnd?.();
    process.kill(process.pid, signal);
    return;
  }
  setImmediate(() => {
    if (atEnd !== null && !process.listeners(signal).includes(onSignal)) {
      process.prependListener(signal, onSignal);
    }
  }).unref();
}

/** Calls `callback` once when the process, or this worker, ends; with null it goes as if nobody were interested. */
export function watchForEnd(callback: (() => void) | null): void {
  const started = atEnd === null && callback !== null;
  const stopped = atEnd !== null && callback === null;
  atEnd = callback;
  if (started) process.on('exit', onExit);
  if (stopped) process.removeListener('exit', onExit);
  // Signals are the main thread's.
  if (!isMainThread || !(started || stopped)) return;
  for (const signal of endingSignals) {
    if (started) process.prependListener(signal, onSignal);
    else process.removeListener(signal, onSignal);
  }
}
