import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { limitAtScale } from '../helpers/scale.js';
import { expectSwapsHarmless, victims } from '../helpers/swap-attack.js';

const parents = 'refuse-links';
const durability = 'none';

describe.runIf(has('swapAttacks')).each(victims)('as $victim', ({ identity }) => {
  const limit = limitAtScale(60_000);

  // The directory outside holds what a job store would change, list and remove there.
  test.each(['JobStoreKept', 'JobStoreRemove', 'JobStorePrune'])(
    '%s touches nothing outside when its directory is exchanged for a link',
    async (verb) => {
      const { outcomes } = await expectSwapsHarmless({
        ...{ identity, verb, options: { parents, durability, timeout: 200 } },
        ...{ file: 'store', kept: 'directory', trap: 'link', leadsTo: 'directory' },
      });
      expect(outcomes).toHaveProperty('ok');
    },
    limit,
  );

  test.each(['link', 'hard-link', 'fifo', 'directory', 'foreign-file'] as const)(
    'JobStore touches nothing outside when a state is exchanged for a %s',
    async (trap) => {
      await expectSwapsHarmless({
        ...{ identity, verb: 'JobStore', options: { parents, durability, timeout: 200 } },
        ...{ name: 'job.json', kept: 'nothing', trap, owner: 'root' },
      });
    },
    limit,
  );

  test.each(['link', 'hard-link', 'fifo', 'directory', 'foreign-file'] as const)(
    'SessionLock touches nothing outside when its file is exchanged for a %s',
    async (trap) => {
      await expectSwapsHarmless({
        ...{ identity, verb: 'SessionLock', options: { parents, timeout: 200 } },
        ...{ kept: 'nothing', trap, owner: 'root' },
      });
    },
    limit,
  );

  test.each(['link', 'directory'] as const)(
    'incrementSessionCounter touches nothing outside when its directory is exchanged for a %s',
    async (trap) => {
      await expectSwapsHarmless({
        ...{ identity, verb: 'sessionCounter', leadsTo: 'directory', kept: 'nothing', trap },
      });
    },
    limit,
  );

  test.each(['link', 'hard-link', 'fifo', 'directory', 'foreign-file'] as const)(
    'openJournal appends to nothing outside when its file is exchanged for a %s',
    async (trap) => {
      await expectSwapsHarmless({
        ...{
          identity,
          verb: 'eventLog',
          options: { parents },
          kept: 'nothing',
          trap,
          owner: 'root',
        },
      });
    },
    limit,
  );
});
