import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import {
  inspectLock,
  lock,
  readRegularFile,
  replaceFile,
  replaceFileSync,
  updateFileSync,
  updateJson,
} from 'holdfast';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

test
  .runIf(has('symlinks'))
  .each<[string, (file: string, within: string, fn: () => string) => unknown]>([
    ['updateJson', (file, within, fn) => updateJson(file, fn, { within })],
    ['updateFileSync', (file, within, fn) => updateFileSync(file, fn, { within })],
    ['replaceFile', (file, within) => replaceFile(file, 'new', { within, ifMatch: null })],
    ['replaceFileSync', (file, within) => replaceFileSync(file, 'new', { within, ifMatch: null })],
    ['readRegularFile', (file, within) => readRegularFile(file, { within })],
    ['lock', (file, within) => lock(file, { within })],
    ['inspectLock', (file, within) => inspectLock(file, { within })],
  ])(
  '%s opens, creates and shows nothing outside when a link leads out of within',
  async (_form, use) => {
    await withTemporaryDirectory(async (directory) => {
      const root = path.join(directory, 'root');
      const out = path.join(directory, 'out');
      mkdirSync(root);
      mkdirSync(out);
      writeFileSync(path.join(out, 'x.json'), '"secret"');
      symlinkSync('../out', path.join(root, 'esc'));
      let calls = 0;
      const fn = (): string => {
        calls++;
        return 'new';
      };
      const used = Promise.resolve().then(() => use(path.join(root, 'esc', 'x.json'), root, fn));
      await expect(used).rejects.toMatchObject({ code: 'EXDEV', refused: true });
      expect(readdirSync(out)).toEqual(['x.json']);
      expect(calls).toBe(0);
    });
  },
);
