import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { has } from '../../helpers/capabilities.js';
import { withChildren } from '../../helpers/child.js';
import { atScale, limitAtScale, printFigure } from '../../helpers/scale.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';

// Two programs keep a block each in one Markdown file that people edit as well. Where the lock did not protect the whole
// of read, change and write, one of them wrote the other's block back as it had been, or half of the file was gone.

const names = ['memory', 'tasks'] as const;
const introduction = '# Notes\n\nWritten by hand.\n';

/** The round that each block is of, 0 before its first; throws when anything is missing, torn or doubled. */
function roundsIn(text: string): number[] {
  if (!text.startsWith(introduction)) throw new Error(`The introduction is torn: ${text}`);
  return names.map((name) => {
    const parts = text.split(`<!-- ${name}:begin -->\n`);
    if (parts.length === 1) {
      if (text.includes(name)) throw new Error(`Part of block ${name} is gone: ${text}`);
      return 0;
    }
    const [inside = '', ...after] = (parts[1] ?? '').split(`<!-- ${name}:end -->\n`);
    if (parts.length !== 2 || after.length !== 1) throw new Error(`Block ${name}: ${text}`);
    const round = Number(/^- \w+ (\d+)\./.exec(inside)?.[1]);
    const lines = Array.from({ length: 1 + (round % 7) }, (_, at) => `- ${name} ${round}.${at}\n`);
    if (inside !== lines.join('')) throw new Error(`Block ${name} is torn: ${text}`);
    return round;
  });
}

test.each([
  ['updateFile', 'updateFile'],
  ['updateFile', 'updateFileSync'],
])(
  'two programs, by %s and %s: neither block is ever lost, and no reader sees the file torn',
  async (...forms) => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'NOTES.md');
      await writeFile(file, introduction);
      await chmod(file, 0o664);
      const rounds = atScale(500, 60);
      let reads = 0;
      await withChildren(async (children) => {
        const writers = names.map((name, index) =>
          children.fork('block-writer.mjs', {
            args: [file, name, `${rounds}`, forms[index] ?? ''],
          }),
        );
        await Promise.all(writers.map((writer) => writer.waitForMessage('ready')));
        for (const writer of writers) writer.send('go');
        const running = new AbortController();
        const ends = Promise.all(
          writers.map(async (writer) => {
            await writer.waitForMessage('done', limitAtScale(20_000));
            return writer.waitForExit();
          }),
        ).finally(() => running.abort());
        ends.catch(() => undefined);
        // An ordinary reader, without a lock: a block that is there stays there, and never goes back.
        let last = names.map(() => 0);
        const read = (): void => {
          const found = roundsIn(readFileSync(file, 'utf8'));
          for (const [index, round] of found.entries()) {
            expect(round, names[index]).toBeGreaterThanOrEqual(last[index] ?? 0);
          }
          last = found;
          reads++;
        };
        while (!running.signal.aborted) {
          read();
          await sleep(1);
        }
        for (const exit of await ends) expect(exit).toEqual({ code: 0, signal: null });
      });
      expect(roundsIn(readFileSync(file, 'utf8'))).toEqual([rounds, rounds]);
      if (has('modes')) expect(statSync(file).mode & 0o777).toBe(0o664);
      expect(readdirSync(directory).sort()).toEqual(['.NOTES.md.lock', 'NOTES.md']);
      printFigure(`2 programs x ${rounds} blocks by ${forms.join(' and ')}: ${reads} whole reads`);
    });
  },
  limitAtScale(30_000),
);
