import { once } from 'node:events';
import { link, mkdir, readdir, readFile, readlink, stat, symlink, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import type { ProcessAgent, StreamStep } from './helpers/lock-agent.js';
import {
  expectFile,
  makeFile,
  modeOf,
  replaceForms,
  replaceWays,
} from './helpers/replaced-file.js';
import { watchUntouched } from './helpers/untouched.js';
import { giveTo, users } from './helpers/users.js';

const intact = { published: false, targetState: 'old' };
const refused = { ...intact, name: 'HoldfastError', refused: true };

describe.each(users)('as $name', ({ identity }) => {
  /** `real/data` holds "precious"; `prepare` adds to it before all is given to the user. */
  const inDirectory = async (
    prepare: (directory: string) => Promise<void>,
    use: (directory: string, agent: ProcessAgent) => Promise<void>,
  ) =>
    withAgentInDirectory(identity, async (directory, agent) => {
      await mkdir(path.join(directory, 'real'));
      await makeFile(path.join(directory, 'real', 'data'), 'precious');
      await prepare(directory);
      await giveTo(identity, directory);
      await use(directory, agent);
    });

  const makeLinks = (links: Record<string, string>) => async (directory: string) => {
    for (const [name, target] of Object.entries(links)) {
      await symlink(target, path.join(directory, name));
    }
  };

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

  describe.each(replaceWays)('in the middle of a replace by $way', ({ way, options }) => {
    /** A stream in whose middle `calls` of node:fs are made. */
    const stream = (...calls: [call: string, ...args: unknown[]][]): StreamStep[] => [
      { chunk: 'first ' },
      ...calls.map(([call, ...args]) => ({ call, args })),
      { chunk: 'second' },
    ];

    test.runIf(has('symlinks'))(
      'a parent that is moved away and replaced by a link does not lead the replace elsewhere',
      async () => {
        const prepare = async (directory: string) => {
          await mkdir(path.join(directory, 'trap'));
          await makeFile(path.join(directory, 'trap', 'data'), 'the trap');
        };
        await inDirectory(prepare, async (directory, agent) => {
          const real = path.join(directory, 'real');
          const moved = path.join(directory, 'moved');
          const trap = path.join(directory, 'trap');
          const untouched = await watchUntouched(trap);
          const result = await agent.replaceFile(
            path.join(real, 'data'),
            stream(['renameSync', real, moved], ['symlinkSync', trap, real]),
            { ...options, mode: 0o600, durability: 'full' },
          );
          expect(result).toMatchObject({ method: way });
          await expectFile(path.join(moved, 'data'), { contents: 'first second', mode: 0o600 });
          await untouched();
        });
      },
    );

    test('a parent that is removed is an error, and nothing is made', async () => {
      await inDirectory(makeLinks({}), async (directory, agent) => {
        const real = path.join(directory, 'real');
        await expect(
          agent.replaceFile(
            path.join(real, 'data'),
            stream(['rmSync', real, { recursive: true }]),
            options,
          ),
        ).rejects.toMatchObject({ published: false });
        expect(await readdir(directory)).toEqual([]);
      });
    });

    test.runIf(has('symlinks'))(
      'a link that is swapped in for the target is not followed',
      async () => {
        const prepare = async (directory: string) => {
          await makeFile(path.join(directory, 'victim'), 'the victim', 0o600);
        };
        await inDirectory(prepare, async (directory, agent) => {
          const target = path.join(directory, 'real', 'data');
          const victim = path.join(directory, 'victim');
          const swapped = agent.replaceFile(
            target,
            stream(['unlinkSync', target], ['symlinkSync', victim, target]),
            { ...options, mode: 0o644 },
          );
          if (way === 'copy') {
            await expect(swapped).rejects.toMatchObject({
              ...{ ...intact, code: 'ELOOP', refused: true, phase: 'copy' },
            });
            expect(await readlink(target)).toBe(victim);
          } else {
            // The name is replaced, whatever it has come to be.
            expect(await swapped).toMatchObject({ method: 'rename' });
            await expectFile(target, { contents: 'first second', mode: 0o644 });
          }
          await expectFile(victim, { contents: 'the victim', mode: 0o600 });
          expect(await readdir(directory)).toEqual(['real', 'victim']);
          expect(await readdir(path.join(directory, 'real'))).toEqual(['data']);
        });
      },
    );

    test.runIf(way === 'copy')(
      'another file, a directory or a second name in its place are not written to',
      async () => {
        const prepare = async (directory: string) => {
          await makeFile(path.join(directory, 'victim'), 'the victim', 0o600);
        };
        await inDirectory(prepare, async (directory, agent) => {
          const target = path.join(directory, 'real', 'data');
          const victim = path.join(directory, 'victim');
          const moved = path.join(directory, 'moved');
          const attempt = async (code: string, ...calls: [string, ...unknown[]][]) => {
            await expect(
              agent.replaceFile(target, stream(...calls), { ...options, mode: 0o644 }),
            ).rejects.toMatchObject({ ...intact, code, phase: 'copy' });
          };
          await attempt('EMLINK', ['linkSync', target, moved]);
          await expectFile(moved, { contents: 'precious', mode: 0o640 });
          await unlink(moved);
          await attempt('ESTALE', ['renameSync', target, moved], ['renameSync', victim, target]);
          await expectFile(target, { contents: 'the victim', mode: 0o600 });
          await attempt('EINVAL', ['renameSync', target, victim], ['mkdirSync', target]);
          expect(await readdir(target)).toEqual([]);
          await expectFile(victim, { contents: 'the victim', mode: 0o600 });
          await expectFile(moved, { contents: 'precious', mode: 0o640 });
        });
      },
    );
  });

  test.runIf(has('symlinks'))(
    'nothing leads out of within: neither "..", nor a link, nor an absolute path',
    async () => {
      const prepare = async (directory: string) => {
        await mkdir(path.join(directory, 'root', 'sub'), { recursive: true });
        await makeFile(path.join(directory, 'root', 'data'), 'inside');
        await mkdir(path.join(directory, 'root-2'));
        await makeFile(path.join(directory, 'root-2', 'data'), 'outside');
        await makeLinks({
          'root/out': '../real',
          'root/absolute': path.join(directory, 'real'),
          'root/file': '../real/data',
          'root/sub/up': '..',
          alias: 'root',
        })(directory);
      };
      await inDirectory(prepare, async (directory, agent) => {
        const within = path.join(directory, 'root');
        const untouched = await watchUntouched(directory);
        const outside = [
          ...[
            `${within}/../real/data`,
            `${within}/sub/../../real/data`,
            `${within}/sub/up/../real/data`,
          ],
          ...[`${within}/out/data`, `${within}/absolute/data`, `${within}/out/new/data`],
          ...[
            `${within}/absolute/new/deep/data`,
            `${directory}/real/data`,
            `${directory}/new/data`,
          ],
          ...[`${directory}/root-2/data`, `${directory}/data`, '/data'],
        ];
        for (const target of outside) {
          for (const form of replaceForms) {
            for (const { options } of replaceWays) {
              await expect(
                agent[form](target, 'new', { ...options, within, recursive: true, dirMode: 0o700 }),
                target,
              ).rejects.toMatchObject({ ...refused, code: 'EXDEV', phase: 'open' });
            }
          }
        }
        await expect(
          agent.replaceFile(path.join(within, 'file'), 'new', { within, links: 'follow' }),
        ).rejects.toMatchObject({ ...refused, code: 'EXDEV' });
        await untouched();

        // What stays inside is written, through links, too.
        for (const [name, file] of [
          ['data', 'data'],
          ['sub/up/data', 'data'],
          ['sub/../data', 'data'],
          ['made/deep/data', 'made/deep/data'],
          ['sub/up/new/data', 'new/data'],
        ] as const) {
          const options = { within, recursive: true, dirMode: 0o700 };
          await agent.replaceFile(path.join(within, name), name, options);
          expect(await readFile(path.join(within, file), 'utf8')).toBe(name);
        }
        expect(await modeOf(path.join(within, 'made', 'deep'))).toBe(0o700);
        expect(await modeOf(path.join(within, 'new'))).toBe(0o700);
        expect(await readFile(path.join(directory, 'real', 'data'), 'utf8')).toBe('precious');
      });
    },
  );
});
