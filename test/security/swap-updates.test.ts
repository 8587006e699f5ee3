import { describe, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { limitAtScale } from '../helpers/scale.js';
import { expectSwapsHarmless, victims } from '../helpers/swap-attack.js';

const traps = ['link', 'hard-link', 'fifo', 'directory', 'foreign-file'] as const;
const updating = ['updateFile', 'updateFileSync', 'replaceUnderLock'];
const options = { durability: 'none', retry: 20 } as const;
const limit = limitAtScale(60_000);

describe.runIf(has('swapAttacks')).each(victims)('as $victim', ({ identity }) => {
  // A hard link to a file of the victim's own is a file of the victim's own, whose contents it may see.
  test.each(traps.filter((trap) => trap !== 'hard-link'))(
    'readRegularFile reads nothing outside when its target is exchanged with a %s',
    async (trap) => {
      await expectSwapsHarmless({ identity, verb: 'readRegularFile', trap });
    },
    limit,
  );

  test.each(traps)(
    'updateFile touches nothing outside when its target is exchanged with a %s',
    async (trap) => {
      const attack = { identity, verb: updating, options, trap } as const;
      await expectSwapsHarmless({ ...attack, mayRead: trap === 'hard-link' });
    },
    limit,
  );

  test.each(traps)(
    'updateFile touches nothing outside when its lock file is exchanged with a %s',
    async (trap) => {
      const attack = { identity, verb: updating, options, name: '.data.lock' } as const;
      await expectSwapsHarmless({ ...attack, trap, kept: 'nothing' });
    },
    limit,
  );

  test.each([
    { verb: ['readRegularFile'], options: { parents: 'refuse-links' } },
    { verb: ['updateFile', 'updateFileSync'], options: { ...options, parents: 'refuse-links' } },
    { verb: ['updateFile', 'updateFileSync'], options, within: true },
    { verb: ['replaceFile'], options: { ...options, createOnly: true }, within: true },
    { verb: ['replaceFile'], options: { ...options, ifMatch: null }, within: true },
  ] as const)(
    '$verb with $options (within: $within) touches nothing outside when a parent is exchanged with a link',
    async (attack) => {
      await expectSwapsHarmless({
        ...{ identity, file: 'sub/data', name: 'sub', kept: 'directory', trap: 'link' },
        ...{ leadsTo: 'directory', ...attack },
      });
    },
    limit,
  );

  test(
    'replaceFile with recursive makes nothing outside when a parent is exchanged with a link',
    async () => {
      await expectSwapsHarmless({
        ...{ identity, verb: 'replaceFile', file: 'sub/new/deep/data', name: 'sub', trap: 'link' },
        ...{ kept: 'directory', leadsTo: 'directory', within: true },
        options: { ...options, recursive: true, dirMode: 0o700 },
      });
    },
    limit,
  );
});
