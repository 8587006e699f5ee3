import { readdirSync, statSync } from 'node:fs';
import { chmod, chown, link, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { makeOld, randomName, randomNameOf } from './helpers/leftovers.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { until } from './helpers/process-figures.js';
import { expectFile, makeFile, replaceForms } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { withoutUnnamedFiles } from './helpers/unnamed-files.js';
import { giveTo } from './helpers/users.js';

/** Longer than a minute ago, and not quite. */
const old = 62;
const young = 50;

describe.runIf(has('withoutUnnamedFiles'))('where there are no unnamed files', () => {
  test('what a killed process left goes with the next replace in the directory, once it is older than a minute', async () => {
    await inDirectory(async (directory, agents) => {
      const { agent, name } = await beginReplace(directory, agents);
      agent.kill('SIGKILL');
      expect(await agent.waitForExit()).toEqual({ code: null, signal: 'SIGKILL' });
      await expectFileAlone(directory, [name]);

      for (const seconds of [0, young]) {
        makeOld(directory, seconds);
        await replaceInNewProcess(directory, agents);
        await expectFileAlone(directory, [name]);
      }
      makeOld(directory, old - young);
      await replaceInNewProcess(directory, agents);
      await expectFileAlone(directory, []);
    });
  });

  test('that of a living process stays, however old, and its replace comes to its end', async () => {
    await inDirectory(async (directory, agents) => {
      const { agent, name, replaced } = await beginReplace(directory, agents);
      makeOld(directory, 24 * 3600);
      await replaceInNewProcess(directory, agents);
      await expectFileAlone(directory, [name]);
      agent.child.process.stdin?.write('.');
      expect(await replaced).toMatchObject({ method: 'rename' });
      await expectFile(path.join(directory, 'file'), { contents: 'begun, ended' });
    });
  });

  test('names of other forms, links and what is no file stay', async () => {
    await inDirectory(async (directory, agents) => {
      const victim = await makeFile(path.join(directory, 'victim'), 'the victim', 0o644);
      const stays = [
        ...[
          '.holdfast-1234.tmp',
          '.holdfast-.tmp',
          `${randomNameOf(1)}.bak`,
          `x${randomNameOf(2)}`,
        ],
        ...[randomNameOf(3).replace('-0', '-'), randomNameOf(4).replace('-0', '-G')],
        randomNameOf(0xabc).toUpperCase().replace('.HOLDFAST', '.holdfast').replace('TMP', 'tmp'),
      ];
      for (const name of stays) await makeFile(path.join(directory, name), 'somebody else’s');
      if (has('symlinks')) await symlink('victim', path.join(directory, randomNameOf(5)));
      await link(victim, path.join(directory, randomNameOf(6)));
      await mkdir(path.join(directory, randomNameOf(7)));
      if (has('fifos')) await run('mkfifo', [path.join(directory, randomNameOf(8))]);
      const before = (await readdir(directory)).sort();
      await makeFile(path.join(directory, randomNameOf(9)), 'left behind');
      makeOld(directory);

      await replaceInNewProcess(directory, agents);
      expect((await readdir(directory)).sort()).toEqual(['another', ...before].sort());
      expect(await readFile(victim, 'utf8')).toBe('the victim');
    });
  });

  test('a directory is listed once a minute, not for every replace', async () => {
    await inDirectory(async (directory, agents) => {
      const agent = await agents.process(withoutUnnamedFiles());
      const elsewhere = path.join(directory, 'elsewhere');
      await mkdir(elsewhere);
      const { calls } = await withFaults(agents.children, agent.pid, [], async () => {
        for (let n = 0; n < 5; n++) {
          for (const form of replaceForms) {
            await agent[form](path.join(directory, 'file'), `${n}`, { copyFallback: 'always' });
            await agent[form](path.join(elsewhere, 'file'), `${n}`);
          }
        }
      });
      const listings = calls.filter(
        ({ name, line }) => name === 'getdents64' && / = [1-9]/.test(line),
      );
      expect(listings).toHaveLength(2);
    });
  });

  test.runIf(has('ordinaryUser'))(
    'a directory that may not be listed is replaced in all the same',
    async () => {
      await inDirectory(async (directory, agents) => {
        await makeFile(path.join(directory, randomNameOf(1)), 'left behind');
        makeOld(directory);
        await giveTo(ordinaryUser, directory);
        await chmod(directory, 0o300);
        const { value } = await replaceInNewProcess(directory, agents, [], ordinaryUser);
        expect(value).toMatchObject({ method: 'rename' });
        await expectFileAlone(directory, [randomNameOf(1)]);
      });
    },
  );

  test.runIf(has('strace'))(
    'a failure to look for them, or to remove them, fails no replace',
    async () => {
      const faults = [
        ...['getdents64:error=EIO', 'statx:error=EIO', 'unlinkat:error=EACCES'],
        // The first is that of the new temporary file.
        ...['flock:error=EIO:when=2', 'flock:error=EINTR:when=1+2'],
      ];
      for (const fault of faults) {
        await inDirectory(async (directory, agents) => {
          await makeFile(path.join(directory, randomNameOf(1)), 'left behind');
          makeOld(directory);
          const { value } = await replaceInNewProcess(directory, agents, [fault]);
          expect(value, fault).toMatchObject({ method: 'rename' });
          await replaceInNewProcess(directory, agents);
          await expectFileAlone(directory, []);
        });
      }
    },
  );

  test.runIf(has('ordinaryUser'))('also in a journalDir', async () => {
    await inDirectory(async (directory, agents) => {
      const journalDir = path.join(directory, 'undo-files');
      const parent = path.join(directory, 'parent');
      await mkdir(journalDir);
      await mkdir(parent);
      const target = await makeFile(path.join(parent, 'data'), 'old');
      await makeFile(path.join(journalDir, randomNameOf(1)), 'left behind');
      await giveTo(ordinaryUser, directory);
      await chmod(parent, 0o555);
      makeOld(journalDir);
      const agent = await agents.process(withoutUnnamedFiles(ordinaryUser));
      expect(await agent.replaceFile(target, 'new', { journalDir })).toMatchObject({
        method: 'copy',
      });
      await expectFile(target, { contents: 'new', mode: 0o640 });
      expect(await readdir(journalDir)).toEqual([]);
    });
  });

  describe.runIf(has('ordinaryUser'))('a leftover that its owner', () => {
    const withLeftover = async (
      mode: number,
      use: (directory: string, agents: LockAgents) => Promise<void>,
      owner: number = ordinaryUser.uid,
    ) =>
      inDirectory(async (directory, agents) => {
        const leftover = await makeFile(path.join(directory, randomNameOf(1)), 'left', mode);
        await giveTo(ordinaryUser, directory);
        await chown(leftover, owner, owner);
        await use(directory, agents);
      });

    test('may not open goes by its age alone', async () => {
      await withLeftover(0, async (directory, agents) => {
        makeOld(directory, young);
        await replaceInNewProcess(directory, agents, [], ordinaryUser);
        await expectFileAlone(directory, [randomNameOf(1)]);
        makeOld(directory, old - young);
        await replaceInNewProcess(directory, agents, [], ordinaryUser);
        await expectFileAlone(directory, []);
      });
    });

    test('alone may open stays with everybody else', async () => {
      await withLeftover(
        0o600,
        async (directory, agents) => {
          makeOld(directory);
          await replaceInNewProcess(directory, agents, [], ordinaryUser);
          await expectFileAlone(directory, [randomNameOf(1)]);
        },
        0,
      );
    });

    test.runIf(has('flockCommand'))('may only read is asked for its lock', async () => {
      await withLeftover(0o400, async (directory, agents) => {
        makeOld(directory);
        const leftover = path.join(directory, randomNameOf(1));
        const holder = agents.children.spawn('flock', ['-x', leftover, 'sh', '-c', 'echo; cat']);
        await holder.waitForOutput(/\n/);
        await replaceInNewProcess(directory, agents, [], ordinaryUser);
        await expectFileAlone(directory, [randomNameOf(1)]);
        holder.process.stdin?.end();
        expect(await holder.waitForExit()).toEqual({ code: 0, signal: null });
        await replaceInNewProcess(directory, agents, [], ordinaryUser);
        await expectFileAlone(directory, []);
      });
    });

    test('may only read, where that is not enough for a lock, goes by its age', async () => {
      await withLeftover(0o400, async (directory, agents) => {
        makeOld(directory);
        // The first lock is that of the new temporary file. NFS says so to one on a read-only descriptor.
        const { value } = await replaceInNewProcess(
          directory,
          agents,
          ['flock:error=EBADF:when=2'],
          ordinaryUser,
        );
        expect(value).toMatchObject({ method: 'rename' });
        await expectFileAlone(directory, []);
      });
    });
  });

  test('stays where locks cannot be had, since nobody could hold one', async () => {
    await inDirectory(async (directory, agents) => {
      await makeFile(path.join(directory, randomNameOf(1)), 'left behind');
      makeOld(directory);
      const { value } = await replaceInNewProcess(directory, agents, ['flock:error=ENOLCK']);
      expect(value).toMatchObject({ method: 'rename' });
      await expectFileAlone(directory, [randomNameOf(1)]);
    });
  });
});

async function inDirectory(
  use: (directory: string, agents: LockAgents) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) => withLockAgents((agents) => use(directory, agents)));
}

/** Lets a process without unnamed files write half of a file, until it is told to go on by a byte on its standard input. */
async function beginReplace(directory: string, agents: LockAgents) {
  const agent = await agents.process(withoutUnnamedFiles());
  const file = path.join(directory, 'file');
  const replaced = agent.replaceFile(file, [
    { chunk: 'begun, ' },
    { call: 'readSync', args: [0, Buffer.alloc(1)] },
    { chunk: 'ended' },
  ]);
  replaced.catch(() => undefined);
  const temporary = (): string | undefined =>
    readdirSync(directory).find(
      (name) => randomName.test(name) && statSync(path.join(directory, name)).size > 0,
    );
  await until(() => temporary() !== undefined, 'a temporary file with contents');
  return { agent, replaced, name: temporary() ?? '' };
}

/** Lets a process that has not listed any directory yet replace the file `another`. */
async function replaceInNewProcess(
  directory: string,
  agents: LockAgents,
  faults: readonly string[] = [],
  identity?: typeof ordinaryUser,
) {
  const agent = await agents.process(withoutUnnamedFiles(identity));
  const replace = async () => agent.replaceFileSync(path.join(directory, 'another'), 'contents');
  if (faults.length === 0) return { value: await replace(), calls: [] };
  return withFaults(agents.children, agent.pid, faults, replace);
}

/** Asserts that `another` is there, if anything is, and of temporary files these. */
async function expectFileAlone(directory: string, leftovers: readonly string[]): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name !== 'another');
  expect(names).toEqual(leftovers);
}
