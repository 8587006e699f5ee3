import { chmod, chown, stat } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { expectFile, makeFile, modeOf, replaceForms } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const user = { uid: 1001, gid: 1001 };
const groupOfOthers = 1003;

/** Who replaces: a command line that becomes this user, who belongs to `groups`, before it runs the agent. */
const asMemberOf = (groups: string): string[] => [
  ...['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, `--groups=${groups}`, '--'],
];
const asStranger = asMemberOf(`${user.gid}`);
const asMember = asMemberOf(`${user.gid},${groupOfOthers}`);
const asRoot: string[] = [];

interface Start {
  mode: number;
  owner?: number;
  group?: number;
  /** What `setfacl -m` adds to the file. */
  list?: string;
  /** What `setfacl -m` gives to new files in the directory. */
  defaultList?: string;
}

/** A file in the user's own directory, and an agent that is started by `prefix`. */
async function withFile(
  prefix: readonly string[],
  { mode, owner = user.uid, group = user.gid, list, defaultList }: Start,
  use: (agent: LockAgent, target: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(
    async (directory) =>
      withLockAgents(async (agents) => {
        const target = await makeFile(path.join(directory, 'data'), 'old');
        await chown(target, owner, group);
        await chmod(target, mode);
        if (list !== undefined) await setList(list, target);
        if (defaultList !== undefined) await setList(defaultList, directory);
        await use(await agents.process({ prefix }), target);
      }),
    { owner: user },
  );
}

async function setList(list: string, file: string): Promise<void> {
  expect(await run('setfacl', ['-m', list, file])).toMatchObject({ code: 0, signal: null });
}

/** The entries of a file's list besides those that are the mode. */
async function listOf(file: string): Promise<string[]> {
  const { stdout } = await run('getfacl', ['-pnc', file]);
  return stdout.split('\n').filter((line) => /^(user|group|mask):[^:]*\d|^mask/.test(line));
}

describe.runIf(has('ordinaryUser', 'modes')).each(replaceForms)('%s', (form) => {
  test('keeps owner, group and mode of a file of others as root', async () => {
    for (const mode of [0o600, 0o660, 0o644]) {
      await withFile(asRoot, { mode, group: groupOfOthers }, async (agent, target) => {
        const { kept } = await agent[form](target, 'new');
        expect(kept).toEqual(['mode', 'owner']);
        expect(await stat(target)).toMatchObject({ uid: user.uid, gid: groupOfOthers });
        await expectFile(target, { contents: 'new', mode });
      });
    }
  });

  test('keeps the group of a file when the caller belongs to it', async () => {
    for (const mode of [0o660, 0o640, 0o604]) {
      await withFile(asMember, { mode, group: groupOfOthers }, async (agent, target) => {
        const { kept } = await agent[form](target, 'new');
        expect(kept).toEqual(['mode', 'owner']);
        expect(await stat(target)).toMatchObject({ uid: user.uid, gid: groupOfOthers });
        await expectFile(target, { contents: 'new', mode });
      });
    }
  });

  test.each([
    [0o660, 0o600],
    [0o664, 0o644],
    [0o640, 0o600],
    [0o604, 0o600],
    [0o751, 0o711],
    [0o600, 0o600],
    [0o644, 0o644],
  ])('turns mode %o into %o when the group cannot be kept', async (before, after) => {
    await withFile(asStranger, { mode: before, group: groupOfOthers }, async (agent, target) => {
      const { kept } = await agent[form](target, 'new');
      expect(kept).toEqual(before === after ? ['mode'] : []);
      expect(await stat(target)).toMatchObject(user);
      await expectFile(target, { contents: 'new', mode: after });
    });
  });

  test('takes the bits of a group that was root’s away when an ordinary user replaces the file', async () => {
    await withFile(asStranger, { mode: 0o640, owner: 0, group: 0 }, async (agent, target) => {
      await agent[form](target, 'new');
      expect(await stat(target)).toMatchObject(user);
      await expectFile(target, { contents: 'new', mode: 0o600 });
    });
  });

  test('sets a mode that is asked for exactly, whatever group the file had', async () => {
    await withFile(asStranger, { mode: 0o600, group: groupOfOthers }, async (agent, target) => {
      await agent[form](target, 'new', { mode: 0o664 });
      await expectFile(target, { contents: 'new', mode: 0o664 });
    });
  });

  test('fails when keep asks for an owner that the caller may not give', async () => {
    await withFile(asStranger, { mode: 0o640, owner: 0, group: 0 }, async (agent, target) => {
      await expect(agent[form](target, 'new', { keep: ['owner'] })).rejects.toMatchObject({
        ...{ code: 'EPERM', syscall: 'fchown', targetState: 'old' },
      });
      await expectFile(target, { contents: 'old', mode: 0o640 });
    });
  });

  describe.runIf(has('accessLists'))('of a file with an access control list', () => {
    test('gives the owning group its own rights and not the mask of a list that is lost', async () => {
      await withFile(asStranger, { mode: 0o600, list: 'u:5000:rw' }, async (agent, target) => {
        expect(await modeOf(target)).toBe(0o660);
        const { kept } = await agent[form](target, 'new');
        expect(kept).toEqual(['mode']);
        expect(await listOf(target)).toEqual([]);
        await expectFile(target, { contents: 'new', mode: 0o600 });
      });
    });

    test.each([
      [0o644, 'u:5000:-', 0o600],
      [0o644, 'g:5000:-', 0o640],
      [0o664, 'u:5000:r', 0o644],
      [0o666, 'u:5000:rw', 0o666],
    ])('turns mode %o with %s into %o when the list is lost', async (mode, list, after) => {
      await withFile(asStranger, { mode, list }, async (agent, target) => {
        const { kept } = await agent[form](target, 'new');
        expect(kept).toEqual(mode === after ? ['mode'] : []);
        expect(await listOf(target)).toEqual([]);
        await expectFile(target, { contents: 'new', mode: after });
      });
    });

    test('keeps the list, and with it the mode, when keep asks for it', async () => {
      await withFile(asStranger, { mode: 0o600, list: 'u:5000:rw' }, async (agent, target) => {
        const before = await listOf(target);
        const { kept } = await agent[form](target, 'new', { keep: ['acl'] });
        expect(kept).toEqual(['mode', 'acl']);
        expect(await listOf(target)).toEqual(before);
        await expectFile(target, { contents: 'new', mode: 0o660 });
      });
    });

    test('drops a list whose owning group cannot be kept, and does not report it as kept', async () => {
      const start = { mode: 0o640, group: groupOfOthers, list: 'u:5000:r' };
      await withFile(asStranger, start, async (agent, target) => {
        const { kept } = await agent[form](target, 'new', { keep: ['acl'] });
        expect(kept).toEqual([]);
        expect(await listOf(target)).toEqual([]);
        await expectFile(target, { contents: 'new', mode: 0o600 });
      });
    });
  });

  test.runIf(has('accessLists')).each([{}, { keep: ['acl'] as const }, { mode: 0o640 }])(
    'does not let the default list of the directory in on a file that had none: %o',
    async (options) => {
      const start = { mode: 0o640, defaultList: 'd:u:5000:rwx' };
      await withFile(asStranger, start, async (agent, target) => {
        await agent[form](target, 'new', options);
        expect(await listOf(target)).toEqual([]);
        await expectFile(target, { contents: 'new', mode: 0o640 });
        // A new file has it, as any other has.
        await agent[form](`${target}-new`, 'new');
        expect(await listOf(`${target}-new`)).toContain('user:5000:rwx\t#effective:rw-');
      });
    },
  );

  test.runIf(has('extendedAttributes'))(
    'does not report attributes as kept when one of a security module stays behind',
    async () => {
      await withFile(asRoot, { mode: 0o600 }, async (agent, target) => {
        const setAttribute = async (name: string, value: string) => {
          const set = 'import os, sys; os.setxattr(*map(os.fsencode, sys.argv[1:]))';
          expect(await run('python3', ['-c', set, target, name, value])).toMatchObject({ code: 0 });
        };
        await setAttribute('user.colour', 'blue');
        expect((await agent[form](target, 'new', { keep: ['xattr'] })).kept).toContain('xattr');
        await setAttribute('security.holdfast', 'x');
        expect((await agent[form](target, 'new', { keep: ['xattr'] })).kept).not.toContain('xattr');
      });
    },
  );
});
