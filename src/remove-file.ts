import { toError } from './errors.js';
import { native } from './native.js';
import type { FileIdentity } from './replace-options.js';
import { Retries } from './retries.js';

/** Milliseconds for which a file is tried to be removed that, on Windows, somebody has open for themselves. */
const retryMs = 10_000;

export interface RemoveOptions {
  parents: 'trust' | 'refuse-links';
  signal?: AbortSignal | undefined;
}

/**
 * Removes the file `path` if it is the one with `identity`, unchanged, or, with null, whatever file it is; resolves with
 * whether it did. Atomic only among those who hold the lock that goes with the file.
 */
export async function removeFile(
  path: string,
  identity: FileIdentity | null,
  { parents, signal }: RemoveOptions,
): Promise<boolean> {
  const refuseParentLinks = parents === 'refuse-links';
  const request = {
    path,
    refuseParentLinks,
    ...(identity === null ? {} : { expected: identity }),
  };
  const retries = new Retries(retryMs);
  for (;;) {
    const removal = await native.removeFile(request);
    if (removal.ok) return removal.removed;
    if (!removal.transient || retries.exhausted) throw toError(removal.error);
    await retries.wait(signal);
  }
}
