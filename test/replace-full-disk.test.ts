import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import {
  intact,
  newContents,
  oldContents,
  outcomeOf,
  withAgent,
} from './helpers/failing-replaces.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { fill, freeBytes, withSmallExt4, withSmallTmpfs } from './helpers/mounts.js';
import { expectFile, makeFile, replaceCases } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import type { SystemCall } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

const disks = [
  { disk: 'a tmpfs of 64 KiB', needs: 'mountTmpfs', withDisk: withSmallTmpfs },
  { disk: 'an ext4 of 2 MiB', needs: 'mountExt4', withDisk: withSmallExt4 },
] as const;

for (const { disk, needs, withDisk } of disks) {
  describe.runIf(has(needs)).each(worlds)(`on ${disk}, $world`, ({ options: world }) => {
    const withAgentOnDisk = async (
      use: (root: string, agent: ProcessAgent, agents: LockAgents) => Promise<void>,
    ) => withDisk((root) => withAgent((agent, agents) => use(root, agent, agents), world));

    test.each(replaceCases)(
      'contents that do not fit leave the old file: $form, $way',
      async ({ form, options }) => {
        await withAgentOnDisk(async (root, agent) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          const free = await freeBytes(root);
          for (const size of [free + 1000, free + 10_000_000, free - 1]) {
            const data = Buffer.alloc(size, 'n');
            // The last block goes to the file system itself, or to the undo file of the copy.
            const outcome = await outcomeOf(agent[form](target, data, options));
            if (size < free && !(outcome instanceof Error)) {
              await expectFile(target, { contents: data, mode: 0o640 });
              continue;
            }
            expect(outcome).toMatchObject({ ...intact, code: 'ENOSPC', path: target });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
            expect(await freeBytes(root)).toBe(free);
          }
        });
      },
    );

    test.each(replaceCases)(
      'when the disk is full to the last byte, the old file stays: $form, $way',
      async ({ form, options }) => {
        await withAgentOnDisk(async (root, agent) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          await fill(root);
          const before = await readdir(root);
          for (const contents of ['n'.repeat(oldContents.length), newContents]) {
            await expect(agent[form](target, contents, options)).rejects.toMatchObject({
              ...intact,
              code: 'ENOSPC',
              path: target,
            });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
            expect(await readdir(root)).toEqual(before);
          }
        });
      },
    );

    test('a copy whose growth does not fit changes no byte, although its undo file lies elsewhere', async () => {
      await withTemporaryDirectory(async (journalDir) =>
        withAgentOnDisk(async (root, agent) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          const free = await freeBytes(root);
          // The temporary file takes more than half of what is free, and the growth needs as much again.
          const options = { copyFallback: 'always', journalDir } as const;
          await expect(
            agent.replaceFile(target, Buffer.alloc((free * 3) / 4), options),
          ).rejects.toMatchObject({ ...intact, code: 'ENOSPC', phase: 'copy' });
          await expectFile(target, { contents: oldContents, mode: 0o640 });
          expect(await freeBytes(root)).toBe(free);
          expect(await readdir(journalDir)).toEqual([]);
        }),
      );
    });

    test('a stream that does not fit leaves the old file, and a smaller one fits then', async () => {
      await withAgentOnDisk(async (root, agent) => {
        const target = await makeFile(path.join(root, 'data'), oldContents);
        const free = await freeBytes(root);
        const chunk = Buffer.alloc(10_007, 'n');
        const chunks = Array.from({ length: Math.ceil(free / chunk.length) + 2 }, () => ({
          chunk,
        }));
        await expect(agent.replaceFile(target, chunks)).rejects.toMatchObject({
          ...intact,
          code: 'ENOSPC',
          phase: 'write',
        });
        await expectFile(target, { contents: oldContents, mode: 0o640 });
        await agent.replaceFile(target, chunks.slice(0, 3));
        await expectFile(target, { contents: Buffer.concat([chunk, chunk, chunk]), mode: 0o640 });
      });
    });

    test.runIf(has('strace')).each(replaceCases)(
      'where no room can be reserved, the short write of a full disk is not taken for success: $form, $way',
      async ({ form, options }) => {
        await withAgentOnDisk(async (root, agent, agents) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          const data = Buffer.alloc((await freeBytes(root)) + 1000, 'n');
          const { value, calls } = await withFaults(
            agents.children,
            agent.pid,
            ['fallocate:error=EOPNOTSUPP'],
            () => outcomeOf(agent[form](target, data, options)),
          );
          expect(value).toMatchObject({ ...intact, code: 'ENOSPC', phase: 'write' });
          const writes = calls.filter(({ name }) => name === 'pwrite64');
          expect(writes.some(isShortWrite), 'the kernel took a part').toBe(true);
          await expectFile(target, { contents: oldContents, mode: 0o640 });
        });
      },
    );
  });
}

function isShortWrite({ line }: SystemCall): boolean {
  const [, asked, written] = /, (\d+), \d+\) += (\d+)$/.exec(line) ?? [];
  return Number(written) < Number(asked);
}
