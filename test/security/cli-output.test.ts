import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { holdfast } from '../helpers/command-line.js';
import { withTemporaryDirectory } from '../helpers/temporary-directory.js';

/** CSI of the C1 set, a bidi override, an isolate, a line separator, a soft hyphen and a tag letter. */
const hostile = 'a\u009b2Jb\u202ec\u2066d\u2028e\u00adf\u{e0041}g';
const unprintable = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function expectHarmless({ stdout, stderr }: { stdout: string; stderr: string }): void {
  expect(stdout).not.toMatch(unprintable);
  expect(stderr).not.toMatch(unprintable);
}

describe('holdfast prints no character that moves a cursor or turns the writing direction', () => {
  test.each(['who', 'doctor'])(
    '%s --json escapes a name, and JSON.parse returns it',
    async (command) => {
      await withTemporaryDirectory(async (directory) => {
        const file = path.join(directory, hostile);
        if (command === 'doctor') mkdirSync(file);
        const result = await holdfast([command, '--json', file]);
        expectHarmless(result);
        const { target, directory: examined } = JSON.parse(result.stdout) as Record<string, string>;
        expect(target ?? examined).toBe(file);
      });
    },
  );

  test.each(['status', 'create', 'renew', 'release'])(
    'session %s --json escapes a name, and JSON.parse returns it',
    async (action) => {
      await withTemporaryDirectory(async (directory) => {
        const file = path.join(directory, hostile);
        const result = await holdfast(['session', action, '--json', '--session', hostile, file]);
        expectHarmless(result);
        const { path: own, found } = JSON.parse(result.stdout) as {
          path?: string;
          found?: { path: string };
        };
        if (action !== 'create') expect(own ?? found?.path).toBe(file);
      });
    },
  );

  test.each([
    ['who', ['who']],
    ['session status', ['session', 'status']],
    ['run', ['run', '--timeout', hostile]],
    ['journal', ['journal']],
    ['replace', ['replace', '--durability', hostile]],
    ['demo', ['demo']],
    ['doctor', ['doctor']],
    ['rebuild', ['rebuild']],
    ['an unknown command', [hostile]],
    ['an unknown option', ['who', `--${hostile}`]],
  ])('%s escapes names in words and in errors', async (_name, command) => {
    await withTemporaryDirectory(async (directory) => {
      expectHarmless(await holdfast([...command, path.join(directory, hostile)]));
      expectHarmless(await holdfast([...command, path.join(directory, hostile, 'nothing')]));
    });
  });

  test('demo escapes what its document holds', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'document');
      writeFileSync(file, hostile);
      const result = await holdfast(['demo', file]);
      expect(result).toMatchObject({ code: 65, signal: null });
      expectHarmless(result);
    });
  });

  test('doctor --json escapes the path of an error', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, hostile);
      writeFileSync(file, '');
      expectHarmless(await holdfast(['doctor', '--json', path.join(file, 'below')]));
    });
  });
});
