import { chown, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withAgent } from './helpers/failing-replaces.js';
import { randomName } from './helpers/leftovers.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { expectFile, makeFile, replaceForms } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** What linkat(2) says to an unnamed file without /proc, in a sandbox, or from where links may not be made. */
const codes = ['ENOENT', 'EPERM', 'EACCES', 'EXDEV'];

const setAttribute = 'import os, sys; os.setxattr(sys.argv[1], "user.a", b"b")';
const getAttribute = 'import os, sys; print(os.getxattr(sys.argv[1], "user.a"))';

describe.runIf(has('strace')).each(codes)(
  'where an unnamed file cannot be given a name (%s)',
  (code) => {
    const faults = [`linkat:error=${code}`];

    test.each(replaceForms)('%s publishes a whole copy of it, on the disk', async (form) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = await makeFile(path.join(directory, 'data'), 'old', 0o640);
          const contents = 'new '.repeat(500_000);
          const { value, calls } = await withFaults(agents.children, agent.pid, faults, () =>
            agent[form](target, contents),
          );
          expect(value).toMatchObject({ method: 'rename' });
          await expectFile(target, { contents, mode: 0o640 });
          const thread = calls.filter((call) => call.thread === calls.at(-1)?.thread);
          const at = (name: RegExp): number => thread.findLastIndex(({ line }) => name.test(line));
          expect(at(/pwrite64/)).toBeLessThan(at(/fsync/));
          expect(at(/fsync/)).toBeLessThan(at(/renameat/));
          expect(thread[at(/renameat/)]?.line).toMatch(/\.holdfast-[0-9a-f]{32}\.tmp/);
        }),
      );
    });

    test('createOnly makes the file, and does not replace it', async () => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = path.join(directory, 'data');
          const options = { createOnly: true, mode: 0o600 };
          await withFaults(agents.children, agent.pid, faults, async () => {
            await agent.replaceFile(target, 'new', options);
            await expect(agent.replaceFile(target, 'again', options)).rejects.toMatchObject({
              code: 'EEXIST',
            });
          });
          await expectFile(target, { contents: 'new', mode: 0o600 });
        }),
      );
    });

    test('a copy keeps its journal while it lasts, and no longer', async () => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = await makeFile(path.join(directory, 'data'), 'old contents');
          const copy = { copyFallback: 'always' } as const;
          const { value } = await withFaults(agents.children, agent.pid, faults, () =>
            agent.replaceFile(target, 'new', copy),
          );
          expect(value).toMatchObject({ method: 'copy' });
          await expectFile(target, { contents: 'new', mode: 0o640 });
          expect((await readRegularFile(target))?.contents.toString()).toBe('new');

          const failed = await withFaults(
            agents.children,
            agent.pid,
            [...faults, 'fdatasync:error=EIO'],
            () => agent.replaceFile(target, 'newer', copy).catch((error: unknown) => error),
          );
          expect(failed.value).toMatchObject({ code: 'EIO', targetState: 'restored' });
          await expectFile(target, { contents: 'new', mode: 0o640 });
        }),
      );
    });

    test.runIf(has('ordinaryUser', 'extendedAttributes'))(
      'what was to be kept is kept',
      async () => {
        await withTemporaryDirectory(async (directory) =>
          withAgent(async (agent, agents) => {
            const target = await makeFile(path.join(directory, 'data'), 'old', 0o640);
            await chown(target, ordinaryUser.uid, ordinaryUser.gid);
            expect(await run('python3', ['-c', setAttribute, target])).toMatchObject({ code: 0 });
            const { value } = await withFaults(agents.children, agent.pid, faults, () =>
              agent.replaceFile(target, 'new', { keep: ['mode', 'owner', 'xattr', 'acl'] }),
            );
            expect(value).toMatchObject({ method: 'rename' });
            expect(await stat(target)).toMatchObject(ordinaryUser);
            const attribute = await run('python3', ['-c', getAttribute, target]);
            expect(attribute.stdout).toBe("b'b'\n");
            await expectFile(target, { contents: 'new', mode: 0o640 });
          }),
        );
      },
    );
  },
);

test.runIf(has('strace'))('a copy that cannot be made whole leaves nothing', async () => {
  await withTemporaryDirectory(async (directory) =>
    withAgent(async (agent, agents) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const fault of [
        'pwrite64:error=ENOSPC:when=2',
        'fsync:error=EIO',
        'pread64:error=EIO',
      ]) {
        const { value } = await withFaults(
          agents.children,
          agent.pid,
          ['linkat:error=ENOENT', fault],
          () => agent.replaceFile(target, 'new').catch((error: unknown) => error),
        );
        expect(value, fault).toMatchObject({ published: false, targetState: 'old' });
        await expectFile(target, { contents: 'old', mode: 0o640 }, fault);
      }
      expect((await readdir(directory)).filter((name) => randomName.test(name))).toEqual([]);
    }),
  );
});
