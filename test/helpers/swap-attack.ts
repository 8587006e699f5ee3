import { chmod, lstat, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'vitest';

import { withChildren } from './child.js';
import type { Child } from './child.js';
import { anotherUser, ordinaryUser } from './ordinary-user.js';
import { fixturesDirectory } from './paths.js';
import { makeFile } from './replaced-file.js';
import { atScale, limitAtScale, printFigure } from './scale.js';
import { withTemporaryDirectory } from './temporary-directory.js';
import { watchUntouched } from './untouched.js';
import { giveTo } from './users.js';

/** Who is attacked by `anotherUser`: root, and somebody who may no more than the attacker. */
export const victims = [
  { victim: 'root', identity: undefined },
  { victim: 'an ordinary user', identity: ordinaryUser },
] as const;

export interface SwapAttack {
  /** Who makes the calls, undefined for root. */
  identity: { uid: number; gid: number } | undefined;
  /** One of test/fixtures/swap-victim.mjs, or several that take turns. */
  verb: string | readonly string[];
  options?: object;
  /** Whether it is given the attacker's directory as `within` besides. */
  within?: boolean;
  /** A name there that it is given as `lockPath` besides. */
  lockPath?: string;
  /** The name in the attacker's directory that the verb is given: `data` by default. */
  file?: string;
  /** The name there that the attacker exchanges, `file` by default, and what he keeps under it. */
  name?: string;
  kept?: 'file' | 'directory' | 'nothing';
  /** Whether the victim may see what is there: a link to a file of its own that somebody made is one. */
  mayRead?: boolean;
  /** What he puts in its place. Links lead to `outside/<leadsTo>`. */
  trap: 'link' | 'hard-link' | 'fifo' | 'foreign-file' | 'directory';
  leadsTo?: string;
  /** Whose directory it is, in which everybody can make and rename files: the attacker's by default. */
  owner?: 'attacker' | 'root';
  /** How many exchanges there are at least: 20,000, ten times that under `npm run stress`. */
  exchanges?: number;
}

export interface SwapOutcome {
  exchanges: number;
  calls: number;
  /** How often a call ended with this code, or with `ok`. */
  outcomes: Record<string, number>;
}

const secret = 'what nobody outside may see';

/**
 * Lets a victim call one verb in a directory of the attacker, who exchanges a name there in the meantime, until there have
 * been enough exchanges and calls. Asserts that nothing beside that directory was read, written, made, removed or changed,
 * that nothing was written to a file of the attacker's, and that the victim left nothing with a set-id bit.
 * Needs `has('swapAttacks')`.
 */
export async function expectSwapsHarmless(attack: SwapAttack): Promise<SwapOutcome> {
  const { identity, file = 'data', owner = 'attacker' } = attack;
  const prepare = async (directory: string) => {
    const home = path.join(directory, 'home');
    const outside = path.join(directory, 'outside');
    await mkdir(path.join(outside, 'directory'), { recursive: true });
    await mkdir(home);
    const names = ['data', 'directory/data', 'directory/.other.lock', 'directory/job.json'];
    for (const name of names) {
      await makeFile(path.join(outside, name), secret, 0o600);
    }
    await giveTo(identity, outside);
    if (owner === 'attacker') await giveTo(anotherUser, home);
    await chmod(home, 0o777);
    return { home, outside };
  };
  return withTemporaryDirectory(
    async (directory) => {
      const { home, outside } = await prepare(directory);
      const untouched = await watchUntouched(outside, { relinked: attack.trap === 'hard-link' });
      const outcome = await withChildren(async (children) => {
        const { name = file, kept = 'file', trap, leadsTo = 'data' } = attack;
        const exchanges = attack.exchanges ?? atScale(200_000, 20_000);
        const script = path.join(fixturesDirectory, 'swap-names.py');
        const attacker = children.spawn(
          'python3',
          [
            script,
            path.join(home, name),
            kept,
            trap,
            path.join(outside, leadsTo),
            String(exchanges),
          ],
          // A link to somebody else's file can be made by anybody where fs.protected_hardlinks is off.
          trap === 'hard-link' ? {} : anotherUser,
        );
        await attacker.waitForOutput(/^ready$/m);
        const options = {
          ...attack.options,
          ...(attack.within === true ? { within: home } : {}),
          ...(attack.lockPath === undefined ? {} : { lockPath: path.join(home, attack.lockPath) }),
        };
        const victim = children.fork('swap-victim.mjs', {
          args: [
            ...[String(attack.verb), path.join(home, file), JSON.stringify(options)],
            ...[secret, String(Math.ceil(exchanges / 100)), 'first'],
          ],
          ...identity,
        });
        const outcome = await fight(attacker, victim);
        await expectNoSetIdBits(home);
        return outcome;
      });
      printFigure(
        `${String(attack.verb)} against ${attack.trap} at ${attack.name ?? file}: ${JSON.stringify(outcome)}`,
      );
      await untouched();
      // Nothing was read there, and no call ended otherwise than well or with an error that has a code.
      const expected = attack.mayRead === true ? /^(?:ok|leak|E[A-Z0-9]+)$/ : /^(?:ok|E[A-Z0-9]+)$/;
      const others = Object.keys(outcome.outcomes).filter((code) => !expected.test(code));
      expect(others).toEqual([]);
      return outcome;
    },
    { mode: 0o711 },
  );
}

/** Lets both run until there were that many exchanges, and at least so many calls that they met. */
async function fight(attacker: Child, victim: Child): Promise<SwapOutcome> {
  await victim.waitForMessage('ready');
  attacker.process.stdin?.write('go\n');
  await attacker.waitForOutput(/^enough$/m, limitAtScale(20_000));
  await victim.waitForMessage('enough', limitAtScale(20_000));
  victim.send('stop');
  const { calls, outcomes } = await victim.waitForMessage('done');
  expect(await victim.waitForExit()).toEqual({ code: 0, signal: null });
  attacker.kill();
  const [, count] = await attacker.waitForOutput(/^exchanges: (\d+)$/m);
  expect(await attacker.waitForExit()).toEqual({ code: 0, signal: null });
  expect(attacker.stdout).not.toContain('written');
  return {
    exchanges: Number(count),
    calls: Number(calls),
    outcomes: outcomes as SwapOutcome['outcomes'],
  };
}

/** What the attacker could make a program of that runs as the victim. His own files are his own affair. */
async function expectNoSetIdBits(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const { mode, uid } = await lstat(path.join(home, name));
    if (uid !== anotherUser.uid) expect(`${name} ${(mode & 0o6000).toString(8)}`).toBe(`${name} 0`);
  }
}
