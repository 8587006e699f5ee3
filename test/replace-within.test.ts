import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { makeLinks, refused, withPreciousFile } from './helpers/precious-file.js';
import { makeFile, modeOf, replaceForms, replaceWays } from './helpers/replaced-file.js';
import { watchUntouched } from './helpers/untouched.js';
import { users } from './helpers/users.js';

// The second is that of kernels before Linux 5.6, and of macOS.
const systems = [
  ...(has('ownProcessor') ? [{ system: '', prefix: [], refusals: ['EXDEV'], links: true }] : []),
  ...(has('strace')
    ? [
        {
          system: ', without openat2()',
          prefix: ['strace', '-f', '-o', '/dev/null', '-e', 'inject=openat2:error=ENOSYS'],
          refusals: ['EXDEV', 'ELOOP'],
          links: false,
        },
      ]
    : []),
];

describe.each(users)('as $name', ({ identity }) => {
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

  test.runIf(has('symlinks')).each(systems)(
    'nothing leads out of within: neither "..", nor a link, nor an absolute path$system',
    async ({ prefix, refusals }) => {
      const outsideOf = expect.toBeOneOf(refusals) as unknown;
      await withPreciousFile(
        identity,
        prepare,
        async (directory, agent) => {
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
                  agent[form](target, 'new', {
                    ...options,
                    within,
                    recursive: true,
                    dirMode: 0o700,
                  }),
                  target,
                ).rejects.toMatchObject({ ...refused, code: outsideOf, phase: 'open' });
              }
            }
          }
          await expect(
            agent.replaceFile(path.join(within, 'file'), 'new', { within, links: 'follow' }),
          ).rejects.toMatchObject({ ...refused, code: outsideOf });
          await untouched();
        },
        prefix,
      );
    },
  );

  test.runIf(has('symlinks')).each(systems)(
    'what stays inside is written$system',
    async ({ prefix, links }) => {
      await withPreciousFile(
        identity,
        prepare,
        async (directory, agent) => {
          const within = path.join(directory, 'root');
          const options = { within, recursive: true, dirMode: 0o700 };
          for (const [name, file] of [
            ['data', 'data'],
            ['made/deep/data', 'made/deep/data'],
          ] as const) {
            await agent.replaceFile(path.join(within, name), name, options);
            expect(await readFile(path.join(within, file), 'utf8')).toBe(name);
          }
          expect(await modeOf(path.join(within, 'made', 'deep'))).toBe(0o700);
          // Through links, too, where the system can follow them no further than that.
          for (const [name, file] of [
            ['sub/up/data', 'data'],
            ['sub/../data', 'data'],
            ['sub/up/new/data', 'new/data'],
          ] as const) {
            const replaced = agent.replaceFile(`${within}/${name}`, name, options);
            if (links) {
              await replaced;
              expect(await readFile(path.join(within, file), 'utf8')).toBe(name);
            } else {
              await expect(replaced).rejects.toMatchObject(refused);
            }
          }
          expect(await modeOf(path.join(within, links ? 'new' : 'made'))).toBe(0o700);
          expect(await readFile(path.join(directory, 'real', 'data'), 'utf8')).toBe('precious');
        },
        prefix,
      );
    },
  );
});
