import { once } from 'node:events';
import { link, readdir, readlink, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { intact, makeLinks, refused, withPreciousFile } from './helpers/precious-file.js';
import { expectFile, replaceForms, replaceWays } from './helpers/replaced-file.js';
import { watchUntouched } from './helpers/untouched.js';
import { users } from './helpers/users.js';

describe.each(users)('as $name', ({ identity }) => {
  const inDirectory = async (
    prepare: (directory: string) => Promise<void>,
    use: (directory: string, agent: ProcessAgent) => Promise<void>,
  ) => withPreciousFile(identity, prepare, use);

  test.runIf(has('symlinks'))('a target that is a link is refused by default', async () => {
    const links = { link: 'real/data', dangling: 'real/absent', loop: 'loop', toDirectory: 'real' };
    await inDirectory(makeLinks(links), async (directory, agent) => {
      const untouched = await watchUntouched(directory);
      for (const name of Object.keys(links)) {
        for (const form of replaceForms) {
          for (const { options } of replaceWays) {
            const target = path.join(directory, name);
            await expect(agent[form](target, 'new', options), name).rejects.toMatchObject({
              ...{ ...refused, code: 'ELOOP', phase: 'inspect', path: target },
            });
          }
        }
      }
      await untouched();
    });
  });

  test.runIf(has('symlinks'))(
    "with links: 'follow' the file that a link leads to is replaced, and the links stay",
    async () => {
      const links = {
        ...{ relative: 'real/data', chain: 'relative', directory: 'real' },
        ...{ through: 'directory/data', dangling: 'real/absent' },
      };
      await inDirectory(makeLinks(links), async (directory, agent) => {
        const follow = { links: 'follow' } as const;
        for (const { way, options } of replaceWays) {
          for (const form of replaceForms) {
            for (const name of ['relative', 'chain', 'through']) {
              const contents = [way, form, name].join();
              const target = path.join(directory, name);
              expect(await agent[form](target, contents, { ...options, ...follow })).toMatchObject({
                method: way,
              });
              await expectFile(path.join(directory, 'real', 'data'), { contents, mode: 0o640 });
            }
          }
        }
        await agent.replaceFile(path.join(directory, 'dangling'), 'made', {
          ...follow,
          mode: 0o600,
        });
        await expectFile(path.join(directory, 'real', 'absent'), { contents: 'made', mode: 0o600 });
        for (const [name, to] of Object.entries(links)) {
          expect(await readlink(path.join(directory, name))).toBe(to);
        }
      });
    },
  );

  test.runIf(has('symlinks'))(
    "with links: 'replace' the link itself goes, and what it led to stays",
    async () => {
      const links = { link: 'real/data', dangling: 'real/absent', toDirectory: 'real' };
      await inDirectory(makeLinks(links), async (directory, agent) => {
        const untouched = await watchUntouched(path.join(directory, 'real'));
        await agent.umask(0o026);
        for (const name of Object.keys(links)) {
          const target = path.join(directory, name);
          const result = await agent.replaceFile(target, 'new', { links: 'replace' });
          expect(result).toMatchObject({ method: 'rename', kept: [] });
          // It is a new file; a link has no mode to be kept.
          await expectFile(target, { contents: 'new', mode: 0o640 });
        }
        await untouched();
      });
    },
  );

  test('a target with other names is refused by default, and split from them if asked', async () => {
    const prepare = async (directory: string) =>
      link(path.join(directory, 'real', 'data'), path.join(directory, 'twin'));
    await inDirectory(prepare, async (directory, agent) => {
      const target = path.join(directory, 'twin');
      const untouched = await watchUntouched(directory);
      for (const form of replaceForms) {
        for (const { options } of replaceWays) {
          await expect(agent[form](target, 'new', options)).rejects.toMatchObject({
            ...{ ...refused, code: 'EMLINK', phase: 'inspect', path: target },
          });
        }
      }
      await untouched();
      await agent.replaceFile(target, 'split', { hardLinks: 'split' });
      await expectFile(target, { contents: 'split', mode: 0o640 });
      const original = path.join(directory, 'real', 'data');
      await expectFile(original, { contents: 'precious', mode: 0o640 });
      expect((await stat(original)).nlink).toBe(1);
    });
  });

  test.runIf(has('symlinks'))(
    "links among the directories on the way are trusted by default, and refused with parents: 'refuse-links'",
    async () => {
      await inDirectory(makeLinks({ way: 'real' }), async (directory, agent) => {
        const target = path.join(directory, 'way', 'data');
        const untouched = await watchUntouched(directory);
        for (const form of replaceForms) {
          for (const file of [target, path.join(directory, 'way', 'new', 'data')]) {
            await expect(
              agent[form](file, 'new', { parents: 'refuse-links', recursive: true }),
            ).rejects.toMatchObject({ ...refused, code: 'ELOOP', phase: 'open' });
          }
        }
        await untouched();
        await agent.replaceFile(target, 'new');
        await expectFile(path.join(directory, 'real', 'data'), { contents: 'new', mode: 0o640 });
        await agent.replaceFile(path.join(directory, 'real', 'data'), 'newer', {
          parents: 'refuse-links',
        });
        await expectFile(path.join(directory, 'real', 'data'), { contents: 'newer', mode: 0o640 });
      });
    },
  );

  test('a target that is no file is refused: EISDIR, EINVAL', async () => {
    const server = createServer();
    const prepare = async (directory: string) => {
      if (has('fifos')) await run('mkfifo', [path.join(directory, 'fifo')]);
      if (has('socketFiles')) {
        await once(server.listen(path.join(directory, 'socket')), 'listening');
      }
      if (has('mknod')) await run('mknod', [path.join(directory, 'device'), 'c', '1', '3']);
    };
    try {
      await inDirectory(prepare, async (directory, agent) => {
        const names = ['real', ...(await readdir(directory)).filter((name) => name !== 'real')];
        const others = [has('fifos'), has('socketFiles'), has('mknod')].filter(Boolean);
        expect(names).toHaveLength(1 + others.length);
        const untouched = await watchUntouched(directory);
        for (const name of names) {
          for (const form of replaceForms) {
            for (const { options } of replaceWays) {
              const target = path.join(directory, name);
              await expect(agent[form](target, 'new', options), name).rejects.toMatchObject({
                ...{ ...refused, code: name === 'real' ? 'EISDIR' : 'EINVAL' },
                ...{ phase: 'inspect', path: target },
              });
            }
          }
        }
        await untouched();
      });
    } finally {
      server.close();
    }
  });

  test('a path through what is no directory is the error of the system', async () => {
    await inDirectory(makeLinks({}), async (directory, agent) => {
      for (const form of replaceForms) {
        for (const options of [{}, { recursive: true }]) {
          const target = path.join(directory, 'real', 'data', 'below');
          await expect(agent[form](target, 'new', options)).rejects.toMatchObject({
            ...{ ...intact, name: 'Error', code: 'ENOTDIR', phase: 'open' },
          });
        }
      }
    });
  });
});
