import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withChildren } from '../helpers/child.js';
import { anotherUser, ordinaryUser } from '../helpers/ordinary-user.js';
import { fixturesDirectory } from '../helpers/paths.js';
import { filesBelow } from '../helpers/planted-holder.js';
import { makeFile } from '../helpers/replaced-file.js';
import { atScale, limitAtScale, printFigure } from '../helpers/scale.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';
import { watchUntouched } from '../helpers/untouched.js';
import { giveTo } from '../helpers/users.js';

const exchanges = atScale(200_000, 20_000);
const minimumCalls = atScale(400, 40);

const victims = [
  { victim: 'root', identity: undefined },
  { victim: 'an ordinary user', identity: ordinaryUser },
];

describe.runIf(has('swapAttacks')).each(victims)(
  'a lock file and its guard that are exchanged while $victim takes the lock over',
  ({ identity }) => {
    test.each(['lock', 'lockSync', 'withLock', 'updateFile'])(
      '%s changes nothing outside and makes no file with set-id bits or a wider mode',
      async (verb) => {
        await withTemporaryDirectory(
          async (directory) => {
            const home = path.join(directory, 'home');
            const outside = path.join(directory, 'outside');
            await mkdir(home);
            await mkdir(outside);
            await makeFile(path.join(outside, 'victim'), 'precious', 0o600);
            await giveTo(identity, outside);
            await giveTo(anotherUser, home);
            await chmod(home, 0o777);
            const expectUntouched = await watchUntouched(outside);
            await withChildren(async (children) => {
              const attacker = children.spawn(
                'python3',
                [
                  path.join(fixturesDirectory, 'swap-lock-files.py'),
                  ...[path.join(home, 'data'), path.join(outside, 'victim'), String(exchanges)],
                ],
                anotherUser,
              );
              await attacker.waitForOutput(/^started$/m);
              const victim = children.fork('swap-victim.mjs', {
                args: [verb, path.join(home, 'data'), '{}', 'precious', String(minimumCalls)],
                ...identity,
              });
              await attacker.waitForOutput(/^enough$/m, limitAtScale(20_000));
              await victim.waitForMessage('enough', limitAtScale(20_000));
              victim.send('stop');
              const { calls, outcomes } = await victim.waitForMessage('done');
              expect(await victim.waitForExit()).toEqual({ code: 0, signal: null });
              attacker.kill();
              const [figures, , taken] = await attacker.waitForOutput(
                /^exchanges: (\d+), taken: (\d+)$/m,
              );
              expect(await attacker.waitForExit()).toEqual({ code: 0, signal: null });
              printFigure(
                `${verb}: ${figures}; ${String(calls)} calls: ${JSON.stringify(outcomes)}`,
              );
              expect(Number(taken)).toBeGreaterThan(0);
              expect(outcomes).toHaveProperty('ok');
            });
            await expectUntouched();
            for (const { name, uid, mode } of filesBelow(home)) {
              if (uid !== anotherUser.uid) expect(mode & 0o7022, name).toBe(0);
            }
          },
          { mode: 0o711 },
        );
      },
      limitAtScale(40_000),
    );
  },
);
