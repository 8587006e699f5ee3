import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from '../../helpers/capabilities.js';
import { hang } from '../../helpers/hung-holder.js';
import { readJournal } from '../../helpers/journal.js';
import { withLockAgents } from '../../helpers/lock-agents.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';

// A writer that hung in the middle of its change held everybody up, or, where its lock file was taken for old and removed,
// wrote the others' changes away when it went on.

test.runIf(has('sameStartTime'))(
  'a writer that hangs in its change is replaced once, and its change does not land when it goes on',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const file = path.join(directory, 'NOTES.md');
        const journal = path.join(directory, 'locks.jsonl');
        writeFileSync(file, '# Notes\n');
        const hung = await agents.process();
        const writers = [await agents.process(), await agents.process(), await agents.process()];
        for (const writer of writers) await writer.openJournal(journal);
        const finish = await hung.update(file, '# What was seen before\n', { ttl: 1000 });
        const resume = await hang(hung, directory);

        await Promise.all(
          writers.map((writer, at) => writer.updateFile(file, `- ${at}\n`, { ttl: 30_000 })),
        );
        resume();
        await expect(finish()).rejects.toMatchObject({ code: 'ECOMPROMISED' });

        const [title, ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n');
        expect(title).toBe('# Notes');
        expect(lines.sort()).toEqual(['- 0', '- 1', '- 2']);
        for (const writer of writers) expect(await writer.closeJournal()).toBe(0);
        const takenOver = (await readJournal(journal)).filter(
          ({ event }) => event === 'taken_over',
        );
        expect(takenOver).toHaveLength(1);
        expect(takenOver[0]).toMatchObject({ target: file, previousHolder: { pid: hung.pid } });
      }),
    );
  },
);
