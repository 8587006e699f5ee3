import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { withChildren } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { fieldsOfAge, hour, sessionFields, sessionFileOf } from './helpers/session-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test(
  'of many programs that create it, one has it at a time',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'lock');
      await writeFile(`${file}.counter`, '0');
      const programs = 4;
      const rounds = atScale(700, 10);
      const tokens = await withChildren(async (children) => {
        const args = [file, `${rounds}`];
        const holders = Array.from({ length: programs }, () =>
          children.fork('session-holder.mjs', { args }),
        );
        for (const holder of holders) await holder.waitForMessage('ready');
        for (const holder of holders) holder.send('go');
        const held = holders.map(async (holder) => {
          const done = await holder.waitForMessage('done', limitAtScale(120_000));
          expect(await holder.waitForExit()).toEqual({ code: 0, signal: null });
          return done.tokens as number[];
        });
        return (await Promise.all(held)).flat();
      });
      expect(tokens).toHaveLength(programs * rounds);
      expect(new Set(tokens).size).toBe(tokens.length);
      expect(Number(await readFile(`${file}.counter`, 'utf8'))).toBe(tokens.length);
      expect((await readdir(directory)).sort()).toEqual(['.lock.lock', 'lock.counter']);
      printFigure(`${programs} programs x ${rounds} session locks, one at a time`);
    });
  },
  limitAtScale(120_000),
);

test(
  'of many that break an expired lock one does, unless its session renews it, and then nobody does',
  async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const file = path.join(directory, 'lock');
        const owner = await agents.process();
        const breakers = await Promise.all([1, 2, 3, 4].map(() => agents.process()));
        const rounds = atScale(5_000, 50);
        let renewals = 0;
        for (let round = 1; round <= rounds; round++) {
          const fields = { ...fieldsOfAge(2 * hour), ...sessionFields('s-1'), token: round };
          const expired = sessionFileOf(fields);
          await writeFile(file, expired);
          // All at about the same time, so that some judge the lock before the renewal and come to act after it.
          const soon = () => sleep(Math.random() * 2);
          const [renewal, ...breaks] = await Promise.all([
            owner.session('renew', file, { session: 's-1' }),
            ...breakers.map((breaker) => soon().then(() => breaker.session('breakStale', file))),
          ]);
          const broken = breaks.filter(({ changed }) => changed);
          expect(broken, `round ${round}`).toHaveLength(renewal.changed ? 0 : 1);
          const now = await readFile(file, 'utf8').catch(() => null);
          if (renewal.changed) renewals++;
          expect(now === null || now === expired, `round ${round}`).toBe(!renewal.changed);
        }
        printFigure(`${rounds} expired locks: ${renewals} renewed, the others broken once`);
      }),
    );
  },
  limitAtScale(120_000),
);
