import { mkdir, readdir, readFile, rename, symlink, writeFile, link } from 'node:fs/promises';
import path from 'node:path';

import { lock, replaceFile, tryLock } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from '../../helpers/capabilities.js';
import { withChildren } from '../../helpers/child.js';
import { withDirectoryLink } from '../../helpers/directory-link.js';
import { withLockAgents } from '../../helpers/lock-agents.js';
import { expectRefusals } from '../../helpers/refusal.js';
import { atScale, limitAtScale, printFigure } from '../../helpers/scale.js';
import { withTemporaryDirectory } from '../../helpers/temporary-directory.js';
import { watchUntouched } from '../../helpers/untouched.js';

// A program keeps the history of its escalations in `history.json`, under `escalation-history.lock`. On POSIX that was a
// lock; on Windows it was nothing at all, and whoever made the lock file, or its directory, first as a link led the
// write elsewhere.

const strict = { parents: 'refuse-links' } as const;

interface Ledger {
  directory: string;
  history: string;
  lockPath: string;
}

async function withLedger(use: (ledger: Ledger, home: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (home) => {
    const directory = path.join(home, 'ledger');
    await mkdir(directory);
    const history = path.join(directory, 'history.json');
    await use(
      { directory, history, lockPath: path.join(directory, 'escalation-history.lock') },
      home,
    );
  });
}

test(
  'eight programs append, one of them is killed now and then: no entry is lost, doubled or torn',
  async () => {
    await withLedger(async ({ directory, history }) => {
      const entries = atScale(200, 24);
      await withChildren(async (children) => {
        const fork = (writer: number) =>
          children.fork('ledger-writer.mjs', {
            args: [
              directory,
              `writer ${writer}`,
              `${entries}`,
              writer % 2 === 0 ? 'sync' : 'async',
            ],
          });
        const writers = Array.from({ length: 8 }, (_, index) => fork(index));
        const victim = fork(8);
        for (const writer of [...writers, victim]) await writer.waitForMessage('ready');
        for (const writer of [...writers, victim]) writer.send('go');
        await Promise.all(
          writers.map(async (writer, index) => {
            await writer.waitForMessage('done', limitAtScale(40_000));
            expect(await writer.waitForExit()).toEqual({ code: 0, signal: null });
            if (index === 0) victim.kill('SIGKILL');
          }),
        );
        await victim.waitForExit();
      });
      const written = JSON.parse(await readFile(history, 'utf8')) as Entry[];
      expect(written.map(({ number }) => number)).toEqual(written.map((_, index) => index));
      for (let index = 0; index < 8; index++) {
        const own = written.filter(({ writer }) => writer === `writer ${index}`);
        expect(own).toHaveLength(entries);
      }
      expect((await readdir(directory)).sort()).toEqual([
        'escalation-history.lock',
        'history.json',
      ]);
      const killed = written.filter(({ writer }) => writer === 'writer 8').length;
      printFigure(
        `8 programs x ${entries} entries, none lost; ${killed} by the one that was killed`,
      );
    });
  },
  limitAtScale(60_000),
);

interface Entry {
  writer: string;
  number: number;
}

test('the lock is one: who comes second is told so, and who held it may have been killed', async () => {
  await withLedger(async ({ history, lockPath }) => {
    await withLockAgents(async (agents) => {
      const first = await agents.process();
      await first.lock(history, { ...strict, lockPath });
      expect(await tryLock(history, { ...strict, lockPath })).toBeNull();
      first.kill('SIGKILL');
      const held = await lock(history, { ...strict, lockPath, timeout: 10_000 });
      expect(held.previousHolder).toMatchObject({ pid: first.pid });
      await held.release();
    });
  });
});

test('a lock file that is a second name of another file is refused, and that file is left alone', async () => {
  await withLedger(async ({ directory, history, lockPath }, home) => {
    const victim = path.join(home, 'victim');
    await writeFile(victim, 'precious');
    await link(victim, lockPath);
    await writeFile(history, '[]\n');
    const expectUntouched = await watchUntouched(home);
    await withLockAgents(async (agents) => {
      const agent = await agents.process();
      await expectRefusals(
        agent,
        history,
        { ...strict, lockPath },
        { code: 'EMLINK', path: lockPath },
      );
    });
    await expectUntouched();
    expect(await readdir(directory)).toHaveLength(2);
  });
});

test.runIf(has('symlinks'))(
  'a lock file or a ledger that is a link is refused, and what it leads to is left alone',
  async () => {
    await withLedger(async ({ history, lockPath }, home) => {
      const victim = path.join(home, 'victim');
      await writeFile(victim, 'precious');
      await symlink(victim, lockPath);
      await symlink(victim, history);
      const expectUntouched = await watchUntouched(home);
      await withLockAgents(async (agents) => {
        const agent = await agents.process();
        await expectRefusals(agent, history, strict, { code: 'ELOOP', path: history });
        const other = path.join(path.dirname(history), 'other.json');
        await expectRefusals(
          agent,
          other,
          { ...strict, lockPath },
          { code: 'ELOOP', path: lockPath },
        );
      });
      await expect(replaceFile(history, '[]', strict)).rejects.toMatchObject({
        ...{ code: 'ELOOP', refused: true, targetState: 'old' },
      });
      await expectUntouched();
    });
  },
);

test.runIf(has('directoryLinks'))(
  'a directory that is a link is refused when that is asked for, and nothing is made where it leads',
  async () => {
    await withLedger(async ({ directory, history, lockPath }, home) => {
      const elsewhere = path.join(home, 'elsewhere');
      await rename(directory, elsewhere);
      await withDirectoryLink(elsewhere, directory, async () => {
        const expectUntouched = await watchUntouched(elsewhere);
        await withLockAgents(async (agents) => {
          const agent = await agents.process();
          for (const options of [strict, { ...strict, lockPath }]) {
            await expectRefusals(agent, history, options, { code: 'ELOOP', path: directory });
          }
        });
        await expect(replaceFile(history, '[]', strict)).rejects.toMatchObject({
          ...{ code: 'ELOOP', refused: true, published: false },
        });
        await expectUntouched();
        const held = await lock(history);
        await held.release();
      });
      expect(await readdir(elsewhere)).toEqual(['.history.json.lock']);
    });
  },
);
