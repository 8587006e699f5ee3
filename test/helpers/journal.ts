import { readFile } from 'node:fs/promises';

import type { JournalLine } from 'holdfast';

/** The events in a journal, each of which must be a whole line. */
export async function readJournal(file: string): Promise<JournalLine[]> {
  const text = await readFile(file, 'utf8');
  if (!/(^|\n)$/.test(text)) throw new Error(`The last line is cut short: ${text.slice(-200)}`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JournalLine);
}
