import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import path from 'node:path';

import { channels } from 'holdfast';
import type { HoldfastEvents } from 'holdfast';

import { withTemporaryDirectory } from './temporary-directory.js';

export const rejectedChannel = channels.record_rejected.name as string;

/** A path for a session lock, in a directory of its own. */
export async function withSessionPath<T>(
  use: (file: string, directory: string) => Promise<T>,
): Promise<T> {
  return withTemporaryDirectory((directory) => use(path.join(directory, 'tool.lock'), directory));
}

/** The record_rejected events that are published meanwhile. */
export async function rejections<T>(
  use: () => Promise<T>,
): Promise<{ result: T; events: HoldfastEvents['record_rejected'][] }> {
  const events: HoldfastEvents['record_rejected'][] = [];
  const listen = (event: unknown) => events.push(event as HoldfastEvents['record_rejected']);
  subscribe(rejectedChannel, listen);
  try {
    return { result: await use(), events };
  } finally {
    unsubscribe(rejectedChannel, listen);
  }
}
