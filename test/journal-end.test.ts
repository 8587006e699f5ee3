import { writeFileSync } from 'node:fs';

import { openJournal } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode, withChildren } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { publishFailOpen, readJournal, targetsIn, withJournal } from './helpers/journal.js';

describe('what was told last', () => {
  const script = (end: string) => `
    const { lock, openJournal } = require('holdfast');
    const [file, target] = process.argv.slice(1);
    (async () => {
      const held = await lock(target);
      await openJournal(file);
      await lock(target, { failOpen: true, timeout: 0 });
      ${end}
    })();`;

  test.each([
    ['process.exit()', 'process.exit(3);', 3],
    ['an uncaught exception', "setImmediate(() => { throw new Error('uncaught'); });", 1],
    ['its natural end', 'await held.release();', 0],
  ])('is in the file after %s', async (_how, end, code) => {
    await withJournal(async (file) => {
      const child = await runNode(['-e', script(end), file, `${file}-data`], {
        cwd: projectDirectory,
      });
      expect(child).toMatchObject({ code, signal: null });
      expect(await readJournal(file)).toMatchObject([
        { event: 'lock_fail_open', reason: 'timeout' },
      ]);
    });
  });

  test.runIf(has('signals'))('is in the file after SIGKILL', async () => {
    await withJournal(async (file) => {
      const kill = "process.kill(process.pid, 'SIGKILL');";
      const child = await runNode(['-e', script(kill), file, `${file}-data`], {
        cwd: projectDirectory,
      });
      expect(child).toMatchObject({ code: null, signal: 'SIGKILL' });
      expect(await readJournal(file)).toHaveLength(1);
    });
  });

  test.runIf(has('flockCommand'))(
    'is in the file after process.exit() while somebody else has its lock',
    async () => {
      await withJournal(async (file) => {
        await withChildren(async (children) => {
          writeFileSync(file, '');
          const holder = children.spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 600']);
          await holder.waitForOutput(/held/);
          const child = await runNode(['-e', script('process.exit(3);'), file, `${file}-data`], {
            cwd: projectDirectory,
          });
          expect(child).toMatchObject({ code: 3, signal: null });
          expect(await readJournal(file)).toHaveLength(1);
        });
      });
    },
  );

  test('is nothing of what came after the end of the journal', async () => {
    await withJournal(async (file) => {
      {
        using journal = await openJournal(file);
        expect(journal.path).toBe(file);
        publishFailOpen('/a');
      }
      publishFailOpen('/b');
      const journal = await openJournal(file);
      await journal.close();
      await journal.close();
      publishFailOpen('/c');
      expect(await targetsIn(file)).toEqual(['/a']);
    });
  });
});
