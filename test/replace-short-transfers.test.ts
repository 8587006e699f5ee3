import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withAgent } from './helpers/failing-replaces.js';
import { run } from './helpers/child.js';
import { fixturesDirectory } from './helpers/paths.js';
import { expectFile, makeFile, replaceCases } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const shim = path.join(fixturesDirectory, 'short-transfers.c');

/** Every byte depends on where it is: a part that is written twice, or at a wrong place, shows. */
function bytesOf(length: number, seed: number): Buffer {
  return Buffer.from(
    Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + seed) % 251),
  );
}

test.runIf(has('compiler', 'strace', 'ownProcessor')).each(replaceCases)(
  'a system that reads and writes less than it is asked to makes no difference: $form, $way',
  async ({ form, way, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const library = path.join(directory, 'short-transfers.so');
      expect(await run('cc', ['-shared', '-fPIC', '-o', library, shim])).toMatchObject({
        code: 0,
        stderr: '',
      });
      await withTemporaryDirectory(async (place) =>
        withAgent(
          async (agent, agents) => {
            const target = path.join(place, 'data');
            for (const length of [1001, 20_480, 3000]) {
              await makeFile(target, bytesOf(10_240, 1));
              const contents = bytesOf(length, 2);
              const { value, calls } = await withFaults(agents.children, agent.pid, [], () =>
                agent[form](target, contents, options),
              );
              expect(value).toMatchObject({ method: way });
              const writes = calls.filter(({ name }) => name === 'pwrite64');
              expect(writes.length).toBeGreaterThanOrEqual(length / 1000);
              expect((await agent.readRegularFile(target))?.contents.equals(contents)).toBe(true);
              await expectFile(target, { contents, mode: 0o640 });
            }
            const text = 'ä€0123456789 '.repeat(700);
            await agent[form](target, text, options);
            await expectFile(target, { contents: text, mode: 0o640 });
          },
          { env: { LD_PRELOAD: library, SHORT_TRANSFERS_BELOW: place } },
        ),
      );
    });
  },
);
