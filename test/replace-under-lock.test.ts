import { readFileSync } from 'node:fs';
import path from 'node:path';

import { lock, replaceFile, withLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { forms, old, withFile } from './helpers/expected-file.js';
import { takeAway } from './helpers/taken-away.js';

describe.each(forms)('lock of %s', (_form, replace) => {
  test('a lock that is held lets the replace pass', async () => {
    await withFile(async (file) => {
      await withLock(file, async (held) => {
        await replace(file, 'new', { lock: held });
      });
      expect(readFileSync(file, 'utf8')).toBe('new');
    });
  });

  test.each(['lost', 'released'])('a lock that is %s stops it', async (how) => {
    await withFile(async (file, directory) => {
      const held = await lock(file);
      if (how === 'lost') takeAway(path.join(directory, '.file.lock'));
      else await held.release();
      await expect((async () => replace(file, 'new', { lock: held }))()).rejects.toMatchObject({
        name: 'HoldfastError',
        code: 'ECOMPROMISED',
      });
      expect(readFileSync(file, 'utf8')).toBe(old);
      await held.release();
    });
  });

  test('what is no lock is refused as misuse', async () => {
    await withFile(async (file) => {
      for (const wrong of [{}, 'lock', true, null]) {
        await expect(
          (async () => replace(file, 'new', { lock: wrong as never }))(),
        ).rejects.toThrow(/^option 'lock' must be a FileLock/);
      }
      expect(readFileSync(file, 'utf8')).toBe(old);
    });
  });
});

test('a lock that is lost while a stream is written stops the replace', async () => {
  await withFile(async (file, directory) => {
    const held = await lock(file);
    function* stealing(): Generator<string> {
      yield 'new';
      takeAway(path.join(directory, '.file.lock'));
    }
    await expect(replaceFile(file, stealing(), { lock: held })).rejects.toMatchObject({
      code: 'ECOMPROMISED',
    });
    expect(readFileSync(file, 'utf8')).toBe(old);
    await held.release();
  });
});
