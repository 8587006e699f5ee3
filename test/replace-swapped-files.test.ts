import { mkdir, readdir, readlink, unlink } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { StreamStep } from './helpers/lock-agent.js';
import type { ProcessAgent } from './helpers/lock-agents.js';
import { intact, makeLinks, withPreciousFile } from './helpers/precious-file.js';
import { expectFile, makeFile, replaceWays } from './helpers/replaced-file.js';
import { watchUntouched } from './helpers/untouched.js';
import { users } from './helpers/users.js';

describe.each(users)('as $name', ({ identity }) => {
  const inDirectory = async (
    prepare: (directory: string) => Promise<void>,
    use: (directory: string, agent: ProcessAgent) => Promise<void>,
  ) => withPreciousFile(identity, prepare, use);

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

    test.runIf(has('unlinkOpenFiles'))(
      'a parent that is removed is an error, and nothing is made',
      async () => {
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
      },
    );

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
});
