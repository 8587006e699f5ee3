import { mkdir, readFile as readWithThePool } from 'node:fs/promises';
import path from 'node:path';

import { readRegularFile, replaceFile } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { makeFile } from './helpers/replaced-file.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { makeUndoFile } from './helpers/undo-file.js';

const old = Buffer.alloc(9000, 'old bytes ');
const next = Buffer.alloc(9000, 'NEW BYTES ');

const ways = [
  ['readRegularFile', 'undo file', (file: string) => readRegularFile(file)],
  ['replaceFile', 'undo file', (file: string) => replaceFile(file, 'new', { retry: 60_000 })],
  [
    'replaceFile by a copy',
    'target',
    (file: string) => replaceFile(file, 'new', { retry: 60_000, copyFallback: 'always' }),
  ],
] as const;

test.runIf(has('flockCommand')).each(ways)(
  "%s leaves libuv's pool to others while the %s of each of eight calls is locked",
  async (_name, locked, use) => {
    await withTemporaryDirectory((directory) =>
      withLockAgents(async ({ children }) => {
        const files: string[] = [];
        const holders = [];
        for (let number = 0; number < 8; number++) {
          const place = path.join(directory, `${number}`);
          await mkdir(place);
          const file = await makeFile(path.join(place, 'file'), next);
          files.push(file);
          const held = locked === 'target' ? file : await makeUndoFile({ target: file, old, next });
          const holder = children.spawn('flock', ['-o', held, 'sh', '-c', 'echo held; sleep 1000']);
          await holder.waitForOutput(/held/);
          holders.push(holder);
        }
        let settled = 0;
        const uses = files.map((file) => use(file).finally(() => settled++));
        for (let reads = 0; reads < 20; reads++) await readWithThePool(import.meta.filename);
        expect(settled).toBe(0);
        await Promise.all(holders.map((holder) => holder.reap()));
        await Promise.all(uses);
        expect(settled).toBe(8);
      }),
    );
  },
);
