import { chown, lstat, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withLockAgents } from '../helpers/lock-agents.js';
import { anotherUser } from '../helpers/ordinary-user.js';
import { fixturesDirectory } from '../helpers/paths.js';
import { atScale, printFigure } from '../helpers/scale.js';
import { victims } from '../helpers/swap-attack.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

const privateDirectories = 40;

describe.runIf(has('swapAttacks')).each(victims)('as $victim', ({ identity }) => {
  test.each([
    { what: 'recursive with dirMode', options: { recursive: true, dirMode: 0o755 } },
    { what: 'recursive without dirMode', options: { recursive: true, tightenDir: 0o700 } },
  ])(
    'replaceFileSync changes no other directory of the caller when the one that $what made is exchanged',
    async ({ options }) => {
      await withTemporaryDirectory(
        async (directory) =>
          withLockAgents(async (agents) => {
            const before = new Set<number>();
            for (let number = 0; number < privateDirectories; number++) {
              const name = path.join(directory, `private-${number}`);
              await mkdir(name, { mode: 0o700 });
              if (identity) await chown(name, identity.uid, identity.gid);
              before.add((await lstat(name)).ino);
            }
            const victim = await agents.process({ ...identity });
            // The modes of what is made have to be set: this umask takes bits away.
            await victim.umask(0o077);
            const attacker = agents.children.spawn(
              'python3',
              [path.join(fixturesDirectory, 'swap-made-directories.py'), directory],
              { ...anotherUser },
            );
            await attacker.waitForOutput(/^begun$/m);
            const calls = atScale(20_000, 400);
            for (let number = 0; number < calls; number++) {
              const target = path.join(directory, `made-${number}`, 'data');
              await victim.replaceFileSync(target, 'new', options).catch(() => undefined);
            }
            attacker.kill('SIGTERM');
            const [, count] = await attacker.waitForOutput(/^exchanges: (\d+)$/m);
            expect(await attacker.waitForExit()).toEqual({ code: 0, signal: null });
            const exchanges = Number(count);
            printFigure(`${exchanges} exchanges in ${calls} calls`);
            expect(exchanges).toBeGreaterThan(0);
            const wrong: string[] = [];
            for (const name of await readdir(directory)) {
              const { ino, mode } = await lstat(path.join(directory, name));
              if (before.has(ino) && (mode & 0o777) !== 0o700) wrong.push(name);
            }
            expect(wrong).toEqual([]);
          }),
        { owner: anotherUser, mode: 0o777 },
      );
    },
  );
});
