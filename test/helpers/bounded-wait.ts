/**
 * How long a test waits for something that must happen, in milliseconds. Far more than a slow machine needs, and less
 * than vitest's own limit, so that a test which hangs is told what it was waiting for.
 */
export const patience = 40_000;

/** Settles like `promise`, or rejects after `timeout` milliseconds with an error that says what did not happen. */
export async function within<T>(
  promise: Promise<T>,
  what: string | (() => string),
  timeout: number = patience,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const description = typeof what === 'string' ? what : what();
      reject(new Error(`Waited ${String(timeout)} ms in vain for ${description}`));
    }, timeout);
  });
  try {
    return await Promise.race([promise, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
