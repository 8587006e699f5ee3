import { existsSync } from 'node:fs';
import { chmod, readdir, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { lock, tryLockSync } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { users } from './helpers/users.js';

const umasks = [0o777, 0o077, 0o022, 0];
const modes = [undefined, 0o600, 0o640, 0o666, 0o777];
const forms = ['lock', 'lockSync'] as const;

/** The places that this machine has, each with the type of its file system as statfs(2) numbers it. */
const places = [tmpdir(), '/dev/shm'].filter((place) => existsSync(place));
const typeOf = async (place: string) => `type 0x${(await statfs(place)).type.toString(16)}`;
const named = await Promise.all(
  places.map(async (place) => ({ place, type: await typeOf(place) })),
);

async function modeOf(file: string): Promise<number> {
  return (await stat(file)).mode & 0o7777;
}

/**
 * Ways in which a lock file comes into being, by what the file system is made to lack. The second and third are for file
 * systems without unnamed files, and without a rename that does not replace.
 */
const ways: [name: string, prefix: string[], possible: boolean][] = [
  ['linked in', [], true],
  ['renamed in', withoutCalls('linkat'), has('strace')],
  ['made in place', withoutCalls('linkat', 'renameat2'), has('strace')],
];

function withoutCalls(...calls: string[]): string[] {
  const faults = calls.flatMap((call) => ['-e', `inject=${call}:error=ENOSYS`]);
  return ['strace', '-f', '-o', '/dev/null', '-e', `trace=${calls.join(',')}`, ...faults];
}

describe.runIf(has('modes')).each(named.map(({ place, type }) => [place, type]))(
  'in %s (%s)',
  (place) => {
    describe.each(users)('as $name', ({ identity }) => {
      for (const [way, prefix, possible] of ways) {
        test.runIf(possible)(
          `a lock file that is ${way} has exactly the mode that was asked for, whatever the umask`,
          async () => {
            await withTemporaryDirectory(
              async (directory) =>
                withLockAgents(async (agents) => {
                  const agent = await agents.process({ ...identity, prefix });
                  for (const umask of umasks) {
                    await agent.umask(umask);
                    for (const mode of modes) {
                      for (const form of forms) {
                        const name = `${form}-${umask.toString(8)}-${mode?.toString(8) ?? 'none'}`;
                        const target = path.join(directory, name);
                        const options = mode === undefined ? {} : { lockFileMode: mode };
                        const held = await agent[form](target, options);
                        expect(await modeOf(`${directory}/.${name}.lock`), name).toBe(
                          mode ?? 0o600,
                        );
                        expect(tryLockSync(target), name).toBeNull();
                        await held.release();
                        (await lock(target)).releaseSync();
                        await (await agent.lockSync(target)).release();
                      }
                    }
                    // Reading the umask is setting it, in POSIX.
                    expect(await agent.umask()).toBe(umask);
                  }
                  const left = await readdir(directory);
                  expect(left).toHaveLength(umasks.length * modes.length * forms.length);
                }),
              { parent: place, ...(identity && { owner: identity }) },
            );
          },
        );
      }
    });
  },
);

test.runIf(has('modes'))('the mode of a lock file that exists is left alone', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = path.join(directory, 'data');
    const held = await lock(target, { lockFileMode: 0o640 });
    await held.release();
    await (await lock(target, { lockFileMode: 0o666 })).release();
    expect(await modeOf(held.lockPath)).toBe(0o640);
    await chmod(held.lockPath, 0o755);
    await (await lock(target)).release();
    expect(await modeOf(held.lockPath)).toBe(0o755);
  });
});
