import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { intact, oldContents, outcomeOf, withAgent } from './helpers/failing-replaces.js';
import { expectFile, makeFile, replaceCases } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

describe.runIf(has('prlimit'))('under a limit on the size of files', () => {
  test.each(replaceCases)(
    'the short write and the EFBIG after it leave the old file: $form, $way',
    async ({ form, options }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(
          async (agent) => {
            const target = await makeFile(path.join(directory, 'data'), oldContents);
            const data = Buffer.alloc(61_440, 'n');
            expect(await outcomeOf(agent[form](target, data, options))).toMatchObject({
              ...intact,
              code: 'EFBIG',
              phase: 'write',
              path: target,
            });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
          },
          { prefix: ['prlimit', '--fsize=20480'] },
        ),
      );
    },
  );

  test('a copy whose journal would be too long changes no byte', async () => {
    await withTemporaryDirectory(async (directory) =>
      withAgent(
        async (agent) => {
          const contents = Buffer.alloc(61_440, 'o');
          const target = await makeFile(path.join(directory, 'data'), contents);
          const options = { copyFallback: 'always' } as const;
          expect(await outcomeOf(agent.replaceFile(target, 'new', options))).toMatchObject({
            ...intact,
            code: 'EFBIG',
            phase: 'copy',
          });
          await expectFile(target, { contents, mode: 0o640 });
          // A rename needs no journal.
          await agent.replaceFile(target, 'new');
          await expectFile(target, { contents: 'new', mode: 0o640 });
        },
        { prefix: ['prlimit', '--fsize=20480'] },
      ),
    );
  });
});
