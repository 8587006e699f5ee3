import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { withBindMount } from './helpers/mounts.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import {
  expectFile,
  makeFile,
  modeOf,
  replaceBy,
  replaceForms,
  replaceWays,
} from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Each of these loses data, secrets or the process with one package or another that replaces files.

describe.runIf(has('ordinaryUser'))('an ordinary user', () => {
  test("writes in somebody else's directory that is open to all", async () => {
    await withAgentInDirectory(ordinaryUser, async (directory, agent) => {
      const parent = path.join(directory, 'parent');
      await mkdir(parent);
      await chmod(parent, 0o777);
      for (const form of replaceForms) {
        await agent[form](path.join(parent, 'data'), form, { mode: 0o600, dirMode: 0o700 });
        await expectFile(path.join(parent, 'data'), { contents: form, mode: 0o600 });
      }
      expect(await modeOf(parent)).toBe(0o777);
    });
  });

  test('makes directories under umask 0777 that can be used', async () => {
    await withAgentInDirectory(ordinaryUser, async (directory, agent) => {
      await agent.umask(0o777);
      for (const form of replaceForms) {
        const parent = path.join(directory, form);
        const target = path.join(parent, 'deep', 'data');
        const options = { recursive: true, dirMode: 0o700, mode: 0o600 };
        await agent[form](target, 'first', options);
        await agent[form](target, 'second', options);
        await expectFile(target, { contents: 'second', mode: 0o600 });
        expect(await modeOf(parent)).toBe(0o700);
      }
    });
  });
});

test.runIf(has('bindMount'))('a single file that is mounted is replaced in place', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = await makeFile(path.join(directory, 'data'), 'covered');
    const source = await makeFile(path.join(directory, 'source'), 'old', 0o600);
    await withBindMount(source, target, async () => {
      for (const form of replaceForms) {
        expect(await replaceBy(form, target, form)).toMatchObject({ method: 'copy', attempts: 1 });
        await expectFile(target, { contents: form, mode: 0o600 });
      }
    });
  });
});

describe('what hangs on a file besides its bytes', () => {
  test.runIf(has('ordinaryUser'))('the owner is kept if asked', async () => {
    await withTemporaryDirectory(async (directory) => {
      for (const { way, options } of replaceWays) {
        for (const form of replaceForms) {
          const target = await makeFile(path.join(directory, `${form}-${way}`), 'old', 0o600);
          await chown(target, ordinaryUser.uid, ordinaryUser.gid);
          const result = await replaceBy(form, target, 'new', {
            ...options,
            keep: ['mode', 'owner'],
          });
          expect(result.kept).toEqual(expect.arrayContaining(['mode', 'owner']));
          expect(await stat(target)).toMatchObject(ordinaryUser);
          await expectFile(target, { contents: 'new', mode: 0o600 });
        }
      }
    });
  });

  const attributes = `
import os, sys
file = sys.argv[1]
if len(sys.argv) > 2:
    os.setxattr(file, 'user.colour', b'blue')
    os.setxattr(file, 'user.empty', b'')
    os.setxattr(file, 'system.posix_acl_access', bytes.fromhex(sys.argv[2]))
print({name: os.getxattr(file, name).hex() for name in sorted(os.listxattr(file))})`;
  // user::rw-, user:65534:r--, group::---, mask::r--, other::---
  const entries = ['01000600ffffffff', '02000400feff0000', '04000000ffffffff'];
  const accessList = ['02000000', ...entries, '10000400ffffffff', '20000000ffffffff'].join('');

  test.runIf(has('extendedAttributes'))(
    'extended attributes and access control lists are kept if asked, and told of only then',
    async () => {
      await withTemporaryDirectory(async (directory) => {
        for (const { way, options } of replaceWays) {
          for (const form of replaceForms) {
            const target = await makeFile(path.join(directory, `${form}-${way}`), 'old', 0o640);
            const before = (await run('python3', ['-c', attributes, target, accessList])).stdout;
            expect(before).toContain('user.colour');
            expect(before).toContain('posix_acl_access');
            const mode = await modeOf(target);
            const result = await replaceBy(form, target, 'new', {
              ...options,
              keep: ['mode', 'xattr', 'acl'],
            });
            expect(result.kept).toEqual(expect.arrayContaining(['mode', 'xattr', 'acl']));
            expect((await run('python3', ['-c', attributes, target])).stdout).toBe(before);
            await expectFile(target, { contents: 'new', mode });

            if (way === 'copy') continue;
            expect((await replaceBy(form, target, 'bare')).kept).toEqual(['mode']);
            expect((await run('python3', ['-c', attributes, target])).stdout).toBe('{}\n');
          }
        }
      });
    },
  );
});
