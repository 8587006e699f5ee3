import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { lock, replaceFile } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { within } from './helpers/bounded-wait.js';
import { withChildren } from './helpers/child.js';
import { makeOld } from './helpers/leftovers.js';
import { expectFile, leftBehind, makeFile, replaceWays } from './helpers/replaced-file.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Each of these loses data, secrets or the process with one package or another that replaces files.

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'processes that are ended by %s leave nothing, at the latest after the next use',
  async (signal) => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const kills = atScale(400, signal === 'SIGKILL' ? 40 : 5);
      let left = 0;
      const program = `
        const { replaceFileSync } = require('holdfast');
        for (let n = 0; ; n++) {
          replaceFileSync(process.argv[1], 'x'.repeat(100000 + n));
          if (n === 0) process.stdout.write('ready');
        }`;
      await withChildren(async (children) => {
        for (let n = 0; n < kills; n++) {
          const child = children.spawnNode(['-e', program, target]);
          await child.waitForOutput(/ready/);
          await sleep(n % 10);
          child.kill(signal);
          expect(await child.waitForExit()).toEqual({ code: null, signal });
          left += (await leftBehind(directory)).length > 0 ? 1 : 0;
          expect(await readFile(target, 'utf8')).toMatch(/^x{100000,}$/);
        }
        makeOld(directory);
        // A process looks for what was left once a minute in a directory, which it may take for one that had its number before.
        const use = "require('holdfast').replaceFileSync(process.argv[1], 'whole')";
        const user = children.spawnNode(['-e', use, target]);
        expect(await user.waitForExit()).toEqual({ code: 0, signal: null });
      });
      await expectFile(target, { contents: 'whole' });
      expect(await readdir(directory)).toEqual(['data']);
      printFigure(`${kills} × ${signal}: ${left} left a name behind, 0 after the next use`);
    });
  },
  // Under Wine a start and a kill take most of a second each.
  limitAtScale(120_000),
);

describe('a stream whose source fails', () => {
  test('rejects at once, leaves nothing, and does not stand in the way of the next write', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const failure = new Error('the source failed');
      const sources = {
        generator: async function* () {
          yield 'some';
          await sleep(1);
          throw failure;
        },
        readable: () => {
          const stream = new PassThrough();
          stream.write('some');
          setTimeout(() => stream.destroy(failure), 5);
          return stream;
        },
        'readable that has failed': () => new Readable().destroy(failure),
      };
      for (const [name, source] of Object.entries(sources)) {
        for (const { options } of replaceWays) {
          await expect(within(replaceFile(target, source(), options), `a ${name}`)).rejects.toBe(
            failure,
          );
          await expectFile(target, { contents: 'old', mode: 0o640 });
        }
      }
      await replaceFile(target, 'new');
      await expectFile(target, { contents: 'new', mode: 0o640 });
    });
  });

  test('before anything was read of it does not end the process', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const sha256 = 'b'.repeat(64);
      const held = await lock(target);
      // Its error comes while the lock is waited for.
      const replaced = replaceFile(target, createReadStream(path.join(directory, 'absent')), {
        ifMatch: { sha256 },
      });
      await sleep(20);
      await held.release();
      await expect(replaced).rejects.toMatchObject({
        code: expect.stringMatching(/ENOENT|ECONFLICT/) as string,
      });
      for (let n = 0; n < 20; n++) {
        await expect(
          replaceFile(target, createReadStream(path.join(directory, 'absent'))),
        ).rejects.toMatchObject({ code: 'ENOENT' });
      }
      await expectFile(target, { contents: 'old', mode: 0o640 });
    });
  });
});
