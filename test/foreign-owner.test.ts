import { chmod, chown, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import type { LockAgent } from './helpers/lock-agent.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { deadHolder, recordOf } from './helpers/record.js';
import { expectRefusals } from './helpers/refusal.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { watchUntouched } from './helpers/untouched.js';

const root = { uid: 0, gid: 0 };
const stranger = { uid: 65_533, gid: 65_533 };

interface Situation {
  asker: typeof root;
  directoryOwner: typeof root;
  directoryMode: number;
  fileOwner: typeof root;
  fileMode?: number;
}

/** Runs `use` with an agent and a target whose lock file exists already. */
async function inSituation(
  { asker, directoryOwner, directoryMode, fileOwner, fileMode = 0o666 }: Situation,
  use: (agent: LockAgent, target: string, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory(
    async (directory) =>
      withLockAgents(async (agents) => {
        const lockPath = path.join(directory, '.data.lock');
        await writeFile(lockPath, recordOf(deadHolder));
        await chmod(lockPath, fileMode);
        await chown(lockPath, fileOwner.uid, fileOwner.gid);
        await use(await agents.process(asker), path.join(directory, 'data'), directory);
      }),
    { owner: directoryOwner, mode: directoryMode },
  );
}

const asOrdinary = { asker: ordinaryUser };
const asRoot = { asker: root };
const public_ = { directoryOwner: root, directoryMode: 0o1777 };

describe.runIf(has('ordinaryUser'))("a lock file of another user's", () => {
  const refused: [name: string, situation: Situation][] = [
    [
      'a stranger’s, in a sticky directory of all',
      { ...asOrdinary, ...public_, fileOwner: stranger },
    ],
    ['an ordinary user’s, for root', { ...asRoot, ...public_, fileOwner: ordinaryUser }],
    [
      'a stranger’s, in our own directory that the group can write',
      { ...asOrdinary, directoryOwner: ordinaryUser, directoryMode: 0o770, fileOwner: stranger },
    ],
    [
      'a stranger’s, in our own directory that all can write',
      { ...asOrdinary, directoryOwner: ordinaryUser, directoryMode: 0o777, fileOwner: stranger },
    ],
  ];
  test.each(refused)('is refused: %s', async (_name, situation) => {
    await inSituation(situation, async (agent, target, directory) => {
      const lockPath = path.join(directory, '.data.lock');
      const untouched = await watchUntouched(directory);
      await expectRefusals(agent, target, {}, { code: 'EPERM', path: lockPath });
      await expectRefusals(agent, target, { lockPath }, { code: 'EPERM', path: lockPath });
      await expect(agent.lock(target)).rejects.toThrow(`uid ${situation.fileOwner.uid}`);
      await untouched();
    });
  });

  test.each(refused)("is accepted with owners: 'any': %s", async (_name, situation) => {
    await inSituation(situation, async (agent, target) => {
      await takeAndLeave(agent, target, { owners: 'any' });
    });
  });

  const accepted: [name: string, situation: Situation][] = [
    ['root’s', { ...asOrdinary, ...public_, fileOwner: root }],
    ['our own', { ...asOrdinary, ...public_, fileOwner: ordinaryUser }],
    [
      'the directory’s owner’s',
      { ...asOrdinary, directoryOwner: stranger, directoryMode: 0o1777, fileOwner: stranger },
    ],
    [
      'a stranger’s, where only root can have put it',
      { ...asOrdinary, directoryOwner: root, directoryMode: 0o755, fileOwner: stranger },
    ],
  ];
  test.each(accepted)('is accepted: %s', async (_name, situation) => {
    await inSituation(situation, async (agent, target) => takeAndLeave(agent, target, {}));
  });

  test('that may not be opened is a refusal that names its owner', async () => {
    for (const fileOwner of [root, stranger]) {
      const situation = { ...asOrdinary, ...public_, fileOwner, fileMode: 0o600 };
      await inSituation(situation, async (agent, target, directory) => {
        const lockPath = path.join(directory, '.data.lock');
        const untouched = await watchUntouched(directory);
        await expectRefusals(agent, target, {}, { code: 'EACCES', path: lockPath });
        const any = { owners: 'any' } as const;
        await expectRefusals(agent, target, any, { code: 'EACCES', path: lockPath });
        await expect(agent.lock(target)).rejects.toThrow(`uid ${fileOwner.uid}`);
        await untouched();
      });
    }
  });
});

async function takeAndLeave(
  agent: LockAgent,
  target: string,
  options: { owners?: 'any' },
): Promise<void> {
  const first = await agent.lock(target, options);
  expect(first.previousHolder).toMatchObject({ pid: deadHolder.pid, host: deadHolder.host });
  expect(first.token).toBe(deadHolder.token + 1);
  await first.release();
  const second = await agent.lockSync(target, options);
  expect(second.previousHolder).toBeNull();
  await second.release();
}
