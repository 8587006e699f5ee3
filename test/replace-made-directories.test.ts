import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { expectFile, modeOf, replaceForms } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { users } from './helpers/users.js';

const groupOfOthers = 1003;

describe.runIf(has('modes')).each(users)('as $name', ({ identity }) => {
  test.runIf(has('ordinaryUser')).each(replaceForms)(
    '%s makes a directory with the group and the set-group-id bit of the one above it',
    async (form) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const top = path.join(directory, 'shared');
        await mkdir(top);
        await chown(top, identity?.uid ?? 0, groupOfOthers);
        await chmod(top, 0o2775);
        const target = path.join(top, 'made', 'data');
        await agent.umask(0o022);
        await agent[form](target, 'new', { recursive: true, dirMode: 0o750, mode: 0o600 });
        expect(await modeOf(path.dirname(target))).toBe(0o2750);
        expect(await stat(path.dirname(target))).toMatchObject({ gid: groupOfOthers });
        expect(await readdir(top)).toEqual(['made']);
      });
    },
  );

  test.runIf(has('accessLists')).each(replaceForms)(
    '%s makes a directory of exactly dirMode when the one above has a default list',
    async (form) => {
      await withAgentInDirectory(identity, async (directory, agent) => {
        const list = ['-m', 'd:u:5000:rwx,d:g::-', directory];
        expect(await run('setfacl', list)).toMatchObject({ code: 0, signal: null });
        for (const dirMode of [0o700, 0o750, 0o755]) {
          const target = path.join(directory, `made-${dirMode}`, 'data');
          await agent[form](target, 'new', { recursive: true, dirMode, mode: 0o600 });
          expect(await modeOf(path.dirname(target))).toBe(dirMode);
          const { stdout } = await run('getfacl', ['-pnc', path.dirname(target)]);
          expect(stdout).toContain('default:user:5000:rwx');
        }
      });
    },
  );
});

describe.runIf(has('withoutProc')).each(users)('as $name, without /proc', ({ identity }) => {
  const hidden = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
  const become =
    identity === undefined
      ? []
      : ['setpriv', `--reuid=${identity.uid}`, `--regid=${identity.gid}`, '--clear-groups', '--'];

  test.each(replaceForms)('%s sets dirMode and tightenDir', async (form) => {
    await withTemporaryDirectory(
      async (directory) =>
        withLockAgents(async (agents) => {
          // Only root hides /proc, so that the agent becomes the user after that.
          const agent = await agents.process({ prefix: [...hidden, ...become] });
          await agent.umask(0o077);
          const target = path.join(directory, 'made', 'data');
          await agent[form](target, 'new', { recursive: true, dirMode: 0o755, mode: 0o600 });
          expect(await modeOf(path.dirname(target))).toBe(0o755);
          await agent[form](target, 'newer', { tightenDir: 0o700, mode: 0o600 });
          expect(await modeOf(path.dirname(target))).toBe(0o700);
          await expectFile(target, { contents: 'newer', mode: 0o600 });
        }),
      identity && { owner: identity },
    );
  });
});
