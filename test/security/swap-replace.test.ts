import { describe, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { limitAtScale } from '../helpers/scale.js';
import { expectSwapsHarmless, victims } from '../helpers/swap-attack.js';

const durability = 'none';

describe.runIf(has('swapAttacks')).each(victims)('as $victim', ({ identity }) => {
  const limit = limitAtScale(60_000);

  test.each(['link', 'hard-link', 'fifo', 'directory'] as const)(
    'replaceFile touches nothing outside when its target is exchanged with a %s',
    async (trap) => {
      const attack = { identity, verb: 'replaceFile', trap } as const;
      await expectSwapsHarmless({ ...attack, options: { durability } });
    },
    limit,
  );

  test.each(['link', 'hard-link', 'fifo', 'directory'] as const)(
    'replaceFile touches nothing outside when a %s is swapped in for a target that it copies into',
    async (trap) => {
      const attack = { identity, verb: 'replaceFile', trap } as const;
      const options = { durability, copyFallback: 'always' };
      // Nothing is copied into a file of the attacker's: the one that lies there is the victim's own.
      await expectSwapsHarmless({ ...attack, kept: 'nothing', options });
    },
    limit,
  );

  test.each([{ options: { parents: 'refuse-links' } }, { within: true }])(
    'replaceFile with %o makes nothing outside when a parent is exchanged with a link',
    async ({ options, within = false }) => {
      await expectSwapsHarmless({
        ...{ identity, verb: 'replaceFile', file: 'sub/data', name: 'sub', kept: 'directory' },
        ...{ trap: 'link', leadsTo: 'directory', options: { durability, ...options }, within },
      });
    },
    limit,
  );
});
