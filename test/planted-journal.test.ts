import { chown, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readRegularFile, replaceFile } from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test.runIf(has('ordinaryUser'))(
  'a journal that the owner of the directory planted is not played into a file of ours',
  () =>
    withTemporaryDirectory(
      async (directory) => {
        const target = path.join(directory, 'data');
        await writeFile(target, 'ours', { mode: 0o600 });
        const before = await stat(target, { bigint: true });
        const name = `.holdfast-${String(before.dev)}-0-${String(before.ino)}.journal`;
        const journal = path.join(directory, name);
        await writeFile(journal, 'holdfast copy 1', { mode: 0o600 });
        await chown(journal, ordinaryUser.uid, ordinaryUser.gid);

        const refusal = { name: 'HoldfastError', code: 'EPERM', refused: true };
        await expect(readRegularFile(target)).rejects.toMatchObject(refusal);
        await expect(replaceFile(target, 'new')).rejects.toMatchObject(refusal);
        expect(await readFile(target, 'utf8')).toBe('ours');
        const after = await stat(target, { bigint: true });
        expect(after).toMatchObject({
          ino: before.ino,
          mode: before.mode,
          ctimeNs: before.ctimeNs,
        });
      },
      { owner: ordinaryUser },
    ),
);
