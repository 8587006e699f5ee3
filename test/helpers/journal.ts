import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { channels } from 'holdfast';
import type { HoldfastEvents, JournalLine } from 'holdfast';

import { withTemporaryDirectory } from './temporary-directory.js';

/** The events in a journal, each of which must be a whole line. */
export async function readJournal(file: string): Promise<JournalLine[]> {
  const text = await readFile(file, 'utf8');
  if (!/(^|\n)$/.test(text)) throw new Error(`The last line is cut short: ${text.slice(-200)}`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JournalLine);
}

/** What the events in a journal were about. */
export async function targetsIn(file: string): Promise<unknown[]> {
  return (await readJournal(file)).map(({ target }) => target);
}

/** A path for a journal, in a directory of its own. */
export async function withJournal(
  use: (file: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) => use(path.join(directory, 'journal'), directory));
}

/** Publishes what holdfast would, of a target of this name. */
export function publishFailOpen(target: string): void {
  const event: HoldfastEvents['lock_fail_open'] = {
    target,
    lockPath: `${target}.lock`,
    reason: 'timeout',
    code: 'ETIMEDOUT',
  };
  channels.lock_fail_open.publish(event);
}
