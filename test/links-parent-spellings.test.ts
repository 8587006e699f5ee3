import { existsSync } from 'node:fs';
import { mkdir, readdir, symlink } from 'node:fs/promises';
import path from 'node:path';

import { lock, lockSync } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test.runIf(has('symlinks'))(
  'a link among the directories is found behind a "..", where the system follows it',
  () =>
    withTemporaryDirectory(async (directory) => {
      await mkdir(path.join(directory, 'far', 'inner'), { recursive: true });
      await symlink(path.join(directory, 'far', 'inner'), path.join(directory, 'link'), 'dir');
      for (const place of ['.', 'far']) {
        await symlink(path.join(directory, 'data'), path.join(directory, place, 'name'), 'file');
      }
      const given = `${directory}/link/../name`;
      const options = { links: 'follow', parents: 'refuse-links' } as const;
      // On Windows ".." is nothing but text, and no link is on the way.
      if (existsSync(`${directory}/link/../inner`)) {
        const refused = { code: 'ELOOP', refused: true };
        await expect(lock(given, options)).rejects.toMatchObject(refused);
        expect(() => lockSync(given, options)).toThrow(expect.objectContaining(refused) as Error);
        expect(await readdir(directory)).not.toContain('.data.lock');
      } else {
        const held = await lock(given, options);
        expect(held.lockPath).toBe(path.join(directory, '.data.lock'));
        await held.release();
      }
    }),
);
