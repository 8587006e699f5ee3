import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { counterOf, parseDocument } from './demo-file.js';

/** Reads the file over and over without a lock, as a program does that only wants to know. */
export class Reader {
  reads = 0;
  /** How often it did not find a whole document. */
  tornReads = 0;
  readonly #ended: Promise<void>;
  #stopped = false;

  constructor(file: string) {
    this.#ended = this.#loop(file);
    // Awaited by stop(), which may come later than a failure.
    this.#ended.catch(() => undefined);
  }

  async #loop(file: string): Promise<void> {
    while (!this.#stopped) {
      const text = await readFile(file, 'utf8').catch(whyNot);
      if (text !== null) {
        this.reads++;
        if (!isWhole(text)) this.tornReads++;
      }
      await sleep(1);
    }
  }

  /** Rejects with what made reading end early. */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.#ended;
  }
}

/**
 * Null for a name that leads nowhere at this moment, which it does only where Windows cannot rename over a file that
 * somebody has open: an old file system, or Wine.
 */
function whyNot(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' && process.platform === 'win32') return null;
  throw error;
}

function isWhole(text: string): boolean {
  try {
    return counterOf(parseDocument(text)) !== null;
  } catch {
    return false;
  }
}
