import { symlink } from 'node:fs/promises';
import path from 'node:path';

import { lock, lockSync, tryLock, tryLockSync } from 'holdfast';
import type { TryLockOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { copyNode } from './helpers/renamed-node.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

interface Held {
  release(): Promise<unknown>;
}

/** Whoever can take locks: an agent, or this thread itself. */
interface Party {
  lock(target: string, options: TryLockOptions): Promise<Held>;
  tryLock(target: string, options: TryLockOptions): Promise<Held | null>;
  lockSync(target: string, options: TryLockOptions): Promise<Held>;
  tryLockSync(target: string, options: TryLockOptions): Promise<Held | null>;
}

interface Relation {
  name: string;
  /** A blocking call for a lock that its own thread holds cannot wait. */
  sameThread: boolean;
  /** The parties, and the asker's own way to spell the target if it has one. */
  meet(
    agents: LockAgents,
    directory: string,
  ): Promise<{ holder: Party; asker: Party; spelling?: string }>;
}

/** The main thread of this process. Only calls that are answered at once may be made through it synchronously. */
const mainThread: Party = {
  lock,
  tryLock,
  lockSync: async (...args) => Promise.resolve(lockSync(...args)),
  tryLockSync: async (...args) => Promise.resolve(tryLockSync(...args)),
};

const relations: Relation[] = [
  {
    name: 'in the same thread',
    sameThread: true,
    meet: async (agents) => {
      const agent = await agents.process();
      return { holder: agent, asker: agent };
    },
  },
  {
    name: 'in the same thread under another spelling of the path',
    sameThread: true,
    meet: async (agents, directory) => {
      const agent = await agents.process();
      const again = has('symlinks') ? 'again' : '.';
      if (has('symlinks')) await symlink('.', path.join(directory, again));
      return { holder: agent, asker: agent, spelling: `${directory}/${again}/./${again}/file` };
    },
  },
  {
    name: 'in a worker while the main thread holds',
    sameThread: false,
    meet: async (agents) => ({ holder: mainThread, asker: await agents.worker() }),
  },
  {
    name: 'in another worker',
    sameThread: false,
    meet: async (agents) => ({ holder: await agents.worker(), asker: await agents.worker() }),
  },
  {
    name: 'in another process',
    sameThread: false,
    meet: async (agents) => ({ holder: await agents.process(), asker: await agents.process() }),
  },
];
if (has('renamedNode')) {
  relations.push({
    name: 'in another process of a program that is Node under another name',
    sameThread: false,
    meet: async (agents, directory) => {
      const execPath = copyNode(directory);
      return {
        holder: await agents.process({ execPath }),
        asker: await agents.process({ execPath }),
      };
    },
  });
}

/** What is asked for, beside what is held. */
const modes = [
  ['exclusive', 'exclusive'],
  ['exclusive', 'shared'],
  ['shared', 'exclusive'],
  ['shared', 'shared'],
] as const;

const forms = ['lock', 'lockSync'] as const;

describe.each(relations.map((relation) => [relation.name, relation] as const))(
  '%s',
  (_name, relation) => {
    const { sameThread } = relation;
    test.each(modes)('%s beside %s, in every form', async (asking, holding) => {
      await withTemporaryDirectory(async (directory) =>
        withLockAgents(async (agents) => {
          const target = path.join(directory, 'file');
          const { holder, asker, spelling = target } = await relation.meet(agents, directory);
          const options = { shared: asking === 'shared' };
          const compatible = holding === 'shared' && asking === 'shared';

          for (const holderForm of forms) {
            for (const askerForm of forms) {
              const what = `${askerForm} (${asking}) beside ${holderForm} (${holding})`;
              const held = await holder[holderForm](target, { shared: holding === 'shared' });
              if (compatible) {
                await canBeHad(asker, spelling, options, what);
                await held.release();
              } else if (sameThread && askerForm === 'lockSync') {
                await expect(asker.lockSync(spelling, options)).rejects.toMatchObject({
                  code: 'EDEADLK',
                });
                await isBusy(asker, spelling, options);
                await held.release();
              } else {
                await isBusy(asker, spelling, options);
                const granted = await mustBlock(asker[askerForm](spelling, options), what);
                await held.release();
                const other = await granted();
                // The two have changed places.
                await isBusy(holder, target, { shared: holding === 'shared' });
                await other.release();
              }
              await canBeHad(holder, target, {}, `the lock after ${what}`);
            }
          }
        }),
      );
    });
  },
);

async function isBusy(party: Party, target: string, options: { shared: boolean }): Promise<void> {
  expect(await party.tryLock(target, options)).toBeNull();
  expect(await party.tryLockSync(target, options)).toBeNull();
}

async function canBeHad(
  party: Party,
  target: string,
  options: { shared?: boolean },
  what: string,
): Promise<void> {
  for (const form of ['tryLock', 'tryLockSync', 'lock', 'lockSync'] as const) {
    const held = await within(party[form](target, options), `${form}: ${what}`);
    expect(held, what).not.toBeNull();
    await held?.release();
  }
}
