import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from '../../helpers/capabilities.js';
import { withChildren } from '../../helpers/child.js';
import type { Children } from '../../helpers/child.js';
import { holdfast } from '../../helpers/command-line.js';
import { readJournal } from '../../helpers/journal.js';
import { withLockAgents } from '../../helpers/lock-agents.js';
import { atScale, limitAtScale, printFigure } from '../../helpers/scale.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';

// Whoever held `.NOTES.md.lock` made every writer of NOTES.md go on without a lock after five seconds, and nobody was told.
// Now a wait that is over is an error, unless the writer has asked for something else: then an audit can count it, and even
// so no writer loses another's change.

const writers = 8;

/** Somebody who holds the lock file of `file` for ever: by flock(1) where there is one, else as holdfast does. */
async function holdForEver(children: Children, file: string): Promise<void> {
  const lockFile = path.join(path.dirname(file), `.${path.basename(file)}.lock`);
  if (has('flockCommand')) {
    const holder = children.spawn('flock', [lockFile, 'sh', '-c', 'echo held; exec sleep 3600']);
    await holder.waitForOutput(/held/);
  } else {
    const script =
      "require('holdfast').lockSync(process.argv[1]); console.log('held'); setInterval(() => 0, 1000)";
    const holder = children.spawnNode(['-e', script, file]);
    await holder.waitForOutput(/held/);
  }
  expect(existsSync(lockFile)).toBe(true);
}

async function withNotes(use: (file: string, directory: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const file = path.join(directory, 'NOTES.md');
    writeFileSync(file, '# Notes\n');
    await use(file, directory);
  });
}

describe('while somebody holds the lock for ever', () => {
  test(
    'every writer ends at its timeout, and the file stays as it is',
    async () => {
      await withNotes(async (file) => {
        await withLockAgents(async (agents) => {
          await holdForEver(agents.children, file);
          const all = await Promise.all(Array.from({ length: writers }, () => agents.process()));
          const rounds = atScale(20, 2);
          let ended = 0;
          for (let round = 0; round < rounds; round++) {
            const waits = all.flatMap((agent, at) => {
              const form = at % 2 === 0 ? 'updateFile' : 'updateFileSync';
              return agent[form](file, `${at}\n`, { timeout: 100 }).catch(
                (error: unknown) => error,
              );
            });
            for (const outcome of await Promise.all(waits)) {
              expect(outcome).toMatchObject({ code: 'ETIMEDOUT' });
              ended++;
            }
          }
          expect(ended).toBe(writers * rounds);
          expect(readFileSync(file, 'utf8')).toBe('# Notes\n');
          for (const agent of all) expect(await agent.events('lock_fail_open')).toEqual([]);
          printFigure(`${ended} of ${writers * rounds} writers ended with ETIMEDOUT`);
        });
      });
    },
    limitAtScale(60_000),
  );

  test(
    'writers that go on without it are counted, each time, and lose nothing of each other',
    async () => {
      await withNotes(async (file, directory) => {
        const journal = path.join(directory, 'audit.jsonl');
        const count = atScale(200, 10);
        await withChildren(async (children) => {
          await holdForEver(children, file);
          const started = Array.from({ length: writers }, (_, at) => {
            const form = at % 2 === 0 ? 'updateFile' : 'updateFileSync';
            const options = { failOpen: true, timeout: 20, retry: limitAtScale(60_000) };
            const job = { file, name: `w${at}`, count, form, options, journal };
            return children.fork('append-lines.mjs', { args: [JSON.stringify(job)] });
          });
          await Promise.all(started.map((child) => child.waitForMessage('ready')));
          for (const child of started) child.send('go');
          for (const child of started) {
            const { failedOpen } = await child.waitForMessage('done', limitAtScale(60_000));
            expect(failedOpen).toBe(count);
            expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
          }
        });
        const total = writers * count;
        const lines = readFileSync(file, 'utf8').split('\n').slice(1, -1);
        expect(new Set(lines).size).toBe(total);
        expect(lines).toHaveLength(total);
        const told = (await readJournal(journal)).filter(({ event }) => event === 'lock_fail_open');
        expect(told).toHaveLength(total);
        for (const { target, reason, code } of told) {
          expect({ target, reason, code }).toEqual({
            ...{ target: file, reason: 'timeout', code: 'ETIMEDOUT' },
          });
        }
        const { stdout } = await holdfast(['journal', '--summary', '--json', journal]);
        expect(JSON.parse(stdout)).toMatchObject({
          failOpens: [{ count: total, reason: 'timeout', target: file }],
          ...{ lost: 0, malformed: 0 },
        });
        printFigure(`${total} updates without the lock: none lost, ${told.length} in the journal`);
      });
    },
    limitAtScale(120_000),
  );
});

test.runIf(has('symlinks'))('a planted lock file is no reason to go on without one', async () => {
  await withNotes(async (file, directory) => {
    await withLockAgents(async (agents) => {
      const victim = path.join(directory, 'victim');
      symlinkSync(victim, path.join(directory, '.NOTES.md.lock'));
      const agent = await agents.process();
      for (const form of ['updateFile', 'updateFileSync'] as const) {
        await expect(agent[form](file, 'mine\n', { failOpen: true })).rejects.toMatchObject({
          ...{ code: 'ELOOP', refused: true },
        });
      }
      expect(await agent.events('lock_fail_open')).toEqual([]);
      expect(readFileSync(file, 'utf8')).toBe('# Notes\n');
      expect(existsSync(victim)).toBe(false);
    });
  });
});
