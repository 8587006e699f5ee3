import { describe, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { limitAtScale } from '../helpers/scale.js';
import { expectSwapsHarmless, victims } from '../helpers/swap-attack.js';

const traps = ['link', 'hard-link', 'fifo', 'directory', 'foreign-file'] as const;
const locking = ['lock', 'tryLock', 'lockSync', 'tryLockSync', 'withLock', 'inspectLock'];
const limit = limitAtScale(60_000);

describe.runIf(has('swapAttacks')).each(victims)('as $victim', ({ identity }) => {
  test.each(traps)(
    'every verb that locks touches nothing outside when the lock file is exchanged with a %s',
    async (trap) => {
      const attack = { identity, verb: locking, trap, name: '.data.lock' } as const;
      await expectSwapsHarmless({ ...attack, kept: 'nothing' });
    },
    limit,
  );

  test.each(traps)(
    'lock touches nothing outside when the file at its lockPath is exchanged with a %s',
    async (trap) => {
      const attack = { identity, verb: locking, trap, name: 'locks', lockPath: 'locks' } as const;
      await expectSwapsHarmless({ ...attack, kept: 'nothing' });
    },
    limit,
  );

  test.each(traps)(
    'a lock with a ttl touches nothing outside when its guard is exchanged with a %s',
    async (trap) => {
      await expectSwapsHarmless({
        ...{ identity, verb: ['lock', 'tryLock', 'withLock'], options: { ttl: 60_000 } },
        ...{ trap, name: '.data.lock.guard', kept: 'nothing' },
      });
    },
    limit,
  );

  test.each(traps)(
    'every verb that locks touches nothing outside when a target is exchanged with a %s',
    async (trap) => {
      await expectSwapsHarmless({ identity, verb: locking, trap });
    },
    limit,
  );

  test(
    'every verb that locks makes nothing outside when a parent is exchanged with a link',
    async () => {
      await expectSwapsHarmless({
        ...{ identity, verb: locking, file: 'sub/data', name: 'sub', kept: 'directory' },
        ...{ trap: 'link', leadsTo: 'directory', options: { parents: 'refuse-links' } },
      });
    },
    limit,
  );
});
