import { chmod, chown, lstat, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { withLockAgents } from '../helpers/lock-agents.js';
import type { LockAgent } from '../helpers/lock-agent.js';
import { modeOf, replaceCases, replaceForms } from '../helpers/replaced-file.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

const root = { uid: 0, gid: 0 };
const attacker = { uid: 1001, gid: 1001 };
const stranger = { uid: 1003, gid: 1003 };
const victims = [
  { name: 'root', victim: root },
  { name: 'uid 1002', victim: { uid: 1002, gid: 1002 } },
];
type User = typeof root;

interface Situation {
  victim: User;
  directory: { owner: User; mode: number };
  file: { owner: User; mode: number };
}

/** Runs `use` with an agent of the victim's and a file of `file.owner` in `directory`, which it may replace. */
async function inSituation(
  { victim, directory: { owner, mode }, file }: Situation,
  use: (agent: LockAgent, target: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(
    async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'config.json');
        await writeFile(target, 'planted');
        await chown(target, file.owner.uid, file.owner.gid);
        await chmod(target, file.mode);
        await use(await agents.process(victim), target, directory);
      }),
    { owner, mode },
  );
}

const refusal = { code: 'EPERM', refused: true, name: 'HoldfastError' };
/** Every verb that reads or replaces a file. */
const verbs: [
  name: string,
  call: (agent: LockAgent, target: string, options?: object) => Promise<unknown>,
][] = [
  ['readRegularFile', async (agent, target, options) => agent.readRegularFile(target, options)],
  ['updateFile', async (agent, target, options) => agent.updateFile(target, 'secret', options)],
  [
    'updateFileSync',
    async (agent, target, options) => agent.updateFileSync(target, 'secret', options),
  ],
  ...replaceCases.map(({ form, way, options: how }): (typeof verbs)[number] => [
    `${form} by ${way}`,
    async (agent, target, options) => agent[form](target, 'secret', { ...how, ...options }),
  ]),
];

describe.runIf(has('ordinaryUser')).each(victims)('as $name', ({ victim }) => {
  const places = [
    { place: 'a sticky directory of all', directory: { owner: root, mode: 0o1777 } },
    { place: 'a directory of all', directory: { owner: root, mode: 0o777 } },
    {
      place: 'its own directory that the group can write',
      directory: { owner: victim, mode: 0o770 },
    },
  ];
  const homes = [
    ...places.map((place) => ({ ...place, fileOwner: attacker })),
    {
      place: "a stranger's file in a home that only the attacker can write",
      // The victim can create names there by its group, or because it is root.
      directory: { owner: attacker, mode: 0o755 },
      fileOwner: stranger,
    },
  ].filter(({ directory }) => victim.uid === 0 || directory.owner.uid !== attacker.uid);

  test.each(homes.flatMap((home) => verbs.map(([verb, call]) => ({ ...home, verb, call }))))(
    '$verb refuses a foreign file when it lies in $place',
    async ({ directory: place, fileOwner, call }) => {
      const situation = { victim, directory: place, file: { owner: fileOwner, mode: 0o666 } };
      await inSituation(situation, async (agent, target, directory) => {
        const before = await lstat(target, { bigint: true });
        await expect(call(agent, target)).rejects.toMatchObject(refusal);
        await expect(call(agent, target)).rejects.toThrow(`uid ${fileOwner.uid}`);
        expect(await lstat(target, { bigint: true })).toEqual(before);
        // An update makes its lock file before it reads.
        const names = (await readdir(directory)).filter((name) => !name.endsWith('.lock'));
        expect(names).toEqual([path.basename(target)]);
      });
    },
  );

  test.each(replaceCases)(
    "$form by $way takes no bit, owner or group of a foreign file when owners is 'any'",
    async ({ form, way, options }) => {
      const situation = {
        victim,
        directory: { owner: root, mode: 0o777 },
        file: { owner: attacker, mode: 0o6666 },
      };
      await inSituation(situation, async (agent, target) => {
        const result = agent[form](target, 'secret', { ...options, owners: 'any' });
        if (way === 'copy') {
          // The file stays the attacker's, who could read what is written into it.
          await expect(result).rejects.toMatchObject(refusal);
          return;
        }
        expect((await result).kept).toEqual([]);
        expect(await stat(target)).toMatchObject(victim);
        expect(await modeOf(target)).toBe(0o644);
      });
    },
  );

  test('replaceFile gives no more access than the foreign file did', async () => {
    const situation = {
      victim,
      directory: { owner: root, mode: 0o777 },
      file: { owner: attacker, mode: 0o600 },
    };
    await inSituation(situation, async (agent, target) => {
      await agent.replaceFile(target, 'secret', { owners: 'any' });
      expect(await modeOf(target)).toBe(0o600);
    });
  });

  test.each(replaceForms)(
    '%s makes a file of the caller’s own when a mode is asked for in a home of the attacker',
    async (form) => {
      const situation = {
        victim,
        directory: { owner: attacker, mode: 0o777 },
        file: { owner: attacker, mode: 0o6777 },
      };
      await inSituation(situation, async (agent, target) => {
        await agent[form](target, 'secret', { mode: 0o600 });
        expect(await stat(target)).toMatchObject(victim);
        expect(await modeOf(target)).toBe(0o600);
      });
    },
  );

  test.each(replaceForms)('%s drops set-id bits of the directory’s owner', async (form) => {
    const situation = {
      victim,
      directory: { owner: attacker, mode: 0o777 },
      file: { owner: attacker, mode: 0o6755 },
    };
    await inSituation(situation, async (agent, target) => {
      await agent[form](target, 'new');
      expect(await modeOf(target)).toBe(0o755);
    });
  });

  test("readRegularFile and updates accept a foreign file when owners is 'any'", async () => {
    const situation = {
      victim,
      directory: { owner: root, mode: 0o777 },
      file: { owner: attacker, mode: 0o644 },
    };
    await inSituation(situation, async (agent, target) => {
      const read = await agent.readRegularFile(target, { owners: 'any' });
      expect(Buffer.from(read?.contents ?? '').toString()).toBe('planted');
      await agent.updateFile(target, ' and seen', { owners: 'any' });
      const now = await agent.readRegularFile(target);
      expect(Buffer.from(now?.contents ?? '').toString()).toBe('planted and seen');
      expect(await stat(target)).toMatchObject(victim);
      expect(await modeOf(target)).toBe(0o644);
    });
  });

  test.each(replaceCases)(
    '$form by $way accepts a foreign file when only root and the caller can have put it there',
    async ({ form, options }) => {
      const situation = {
        victim,
        directory: { owner: victim, mode: 0o755 },
        file: { owner: stranger, mode: 0o666 },
      };
      await inSituation(situation, async (agent, target) => {
        await agent[form](target, 'new', options);
      });
    },
  );
});
