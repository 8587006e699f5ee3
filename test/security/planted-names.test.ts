import { chmodSync, chownSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { lock, lockSync, tryLock, updateFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from '../helpers/capabilities.js';
import { run } from '../helpers/child.js';
import { anotherUser } from '../helpers/ordinary-user.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

/** What somebody makes where a lock file or its guard belongs, and cannot be a lock file. */
const planted: [name: string, plant: (file: string) => Promise<void>, possible: boolean][] = [
  ['a directory', async (file) => mkdir(file), true],
  [
    'a FIFO',
    async (file) => {
      expect(await run('mkfifo', [file])).toMatchObject({ code: 0 });
    },
    has('fifos'),
  ],
];

describe.runIf(has('ordinaryUser', 'flockCommand')).each([
  ['lock file', ''],
  ['guard', '.guard'],
])('in place of a %s', (_place, suffix) => {
  for (const [name, plant, possible] of planted) {
    test.runIf(possible)(
      `${name} is refused by an error that names it, its owner and what to do`,
      async () => {
        await withTemporaryDirectory(async (directory) => {
          chmodSync(directory, 0o1777);
          const target = path.join(directory, 'data');
          const file = `${directory}/.data.lock${suffix}`;
          // From then on the record names a ttl, so that a grant needs the guard.
          if (suffix !== '') await (await lock(target, { ttl: 60_000 })).release();
          await plant(file);
          chownSync(file, anotherUser.uid, anotherUser.gid);
          const expected = {
            ...{ code: 'EINVAL', refused: true, path: file },
            message: expect.stringMatching(
              `owner: uid ${anotherUser.uid}\\): move it away, .*'${file}'`,
            ) as string,
          };
          await expect(lock(target)).rejects.toMatchObject(expected);
          await expect(tryLock(target)).rejects.toMatchObject(expected);
          await expect(updateFile(target, () => 'new')).rejects.toMatchObject(expected);
          expect(() => lockSync(target)).toThrow(expect.objectContaining(expected));
        });
      },
    );
  }
});
