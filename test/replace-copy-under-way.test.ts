import { readdirSync } from 'node:fs';
import path from 'node:path';

import { readRegularFile, replaceFile, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { ChildOptions } from './helpers/child.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { until } from './helpers/process-figures.js';
import { expectFile, makeFile } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

const before = 'old bytes '.repeat(100);
const after = 'NEW BYTES '.repeat(200);

describe.runIf(has('strace')).each(worlds)('while a copy is under way, $world', ({ options }) => {
  test('readRegularFile waits, and finds what was copied', async () => {
    await whileCopying(options, async (file) => {
      const read = await mustBlock(readRegularFile(file), 'the read');
      expect((await read())?.contents.toString()).toBe(after);
      await expectFile(file, { contents: after, mode: 0o640 });
    });
  });

  test('replaceFile waits, and neither undoes the copy nor mixes with it', async () => {
    await whileCopying(options, async (file) => {
      const replaced = await mustBlock(replaceFile(file, 'later'), 'the replace');
      expect(await replaced()).toMatchObject({ method: 'rename' });
      await expectFile(file, { contents: 'later', mode: 0o640 });
    });
  });

  test('updateFile waits, and changes what was copied', async () => {
    await whileCopying(options, async (file) => {
      const updated = await mustBlock(
        updateFile(file, (current) => `${String(current)}, changed`),
        'the update',
      );
      await updated();
      expect((await readRegularFile(file))?.contents.toString()).toBe(`${after}, changed`);
    });
  });
});

/** Runs `use` while another process, started with these options, has written its undo file and is about to write the file. */
async function whileCopying(
  options: ChildOptions,
  use: (file: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(async (directory) =>
    withLockAgents(async (agents) => {
      const file = await makeFile(path.join(directory, 'file'), before);
      const agent = await agents.process(options);
      await withFaults(
        agents.children,
        agent.pid,
        ['pwrite64:delay_enter=700000:when=5'],
        async () => {
          const copied = agent.replaceFile(file, after, { copyFallback: 'always' });
          await until(
            () => readdirSync(directory).some((name) => name.endsWith('.undo')),
            'an undo file',
          );
          await use(file);
          expect(await copied).toMatchObject({ method: 'copy' });
        },
      );
    }),
  );
}
