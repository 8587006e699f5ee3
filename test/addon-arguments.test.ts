import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { runNode } from './helpers/child.js';
import { addonUnderTest } from './helpers/installed-copy.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Functions = Record<string, (...args: unknown[]) => unknown>;
interface Addon {
  open: (...args: unknown[]) => Functions;
}

/** The addon as a program would load it that goes round the package. */
function load(): Addon {
  return createRequire(import.meta.url)(addonUnderTest) as Addon;
}

const open = (): Functions => load().open(new Float64Array(5), 'host', () => undefined);
const unknown = 12_345;

describe.runIf(existsSync(addonUnderTest))('the addon', () => {
  test.each([
    ['acquire', 1, undefined, 0, 0o600],
    ['acquire', '/nowhere/x', undefined, -1, 0o600],
    ['acquire', '/nowhere/x', undefined, Number.NaN, 0o600],
    ['acquire', '/nowhere/x', undefined, 2 ** 32, 0o600],
    ['acquire', '/nowhere/x', undefined, 0],
    ['acquire'],
    ['acquire', '/nowhere/x', undefined, 0, 0o600, 'session', 'hash', 'soon'],
    ['release', '1'],
    ['release', 1.5],
    ['release', -1],
    ['release', 2 ** 53],
    ['release', 1n],
    ['release', Symbol('one')],
    ['verify'],
    ['setQueued', 'key', 'yes'],
    ['setReferenced'],
    ['tryAttribute', Buffer.from('/')],
    ['parseRecord', new Float64Array(4), 8],
    ['parseRecord', 'text', 8],
    ['openReplacement', '/nowhere/x', '0'],
    ['openReplacement', '/nowhere/x', 0, undefined, 'options'],
    ['replaceSteps', {}, 1],
    ['replaceStepsSync', 1, 1, 'text'],
    ['replaceSync', '/nowhere/x', 0, undefined, undefined, 7],
    ['readFile', '/nowhere/x'],
    ['readFileSync'],
    ['removeFile', null],
    ['listNames', 1, false],
    ['writeFileTail', '/nowhere/x', false, 0, false, 0, []],
    ['readFileRange', '/nowhere/x', false, 0, false, Number.POSITIVE_INFINITY],
    ['openLog', '/nowhere/x', 0o600],
    ['appendToLog', 1, 'line\n'],
    ['startHeartbeat', 1, -5],
  ])('%s(%o, …) throws a TypeError when an argument is of the wrong kind', (name, ...args) => {
    const functions = open();
    expect(() => functions[name]?.(...args)).toThrow(
      /^Argument \d of this function of holdfast's addon must be /,
    );
  });

  const wrongOpenings: unknown[][] = [
    ...[[], ['text', 'host', 1], [new Float64Array(5), 'host'], [{}, 'host', open]],
  ];
  test.each(wrongOpenings.map((args) => ({ args })))(
    'open throws a TypeError when it is given $args',
    ({ args }) => {
      expect(() => load().open(...args)).toThrow(TypeError);
    },
  );

  test('functions report an error when an id is unknown or closed', async () => {
    const functions = open();
    const call = (name: string, ...args: unknown[]) => functions[name]?.(...args);
    expect(call('replaceStepsSync', unknown, 7, Buffer.from('x'))).toMatchObject({
      ...{ published: false, phase: 'open' },
    });
    expect(await call('replaceSteps', unknown, 7, Buffer.from('x'))).toMatchObject({
      published: false,
    });
    expect(call('cancelReplacement', unknown)).toBe(undefined);
    expect(call('closeReplacement', unknown)).toBe(undefined);
    expect(call('appendToLogSync', unknown, 'line\n', true)).toMatchObject({ ok: false });
    expect(await call('appendToLog', unknown, 'line\n', true)).toMatchObject({ ok: false });
    expect(call('closeLog', unknown)).toBe(undefined);
    expect(call('holderOf', unknown)).toBe(null);
    expect(call('keyOf', unknown)).toBe('');
  });

  test('a result array that is transferred away is not written to', async () => {
    const script = `
      const result = new Float64Array(5);
      const addon = require(process.argv[1]).open(result, 'host', () => {});
      structuredClone(result, { transfer: [result.buffer] });
      for (let i = 0; i < 100; i++) addon.acquire(__filename + '.none/' + i, undefined, 16, 0o600);
      console.log('still here');
    `;
    const { code, signal, stdout } = await runNode(['-e', script, addonUnderTest]);
    expect({ code, signal, stdout }).toEqual({ code: 0, signal: null, stdout: 'still here\n' });
  });

  test('readFileRange allocates no more than the file has when more is asked for', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'file');
      await writeFile(file, 'contents');
      const read = open().readFileRange?.(file, false, 3, false, Number.MAX_SAFE_INTEGER);
      expect(await read).toMatchObject({ ok: true, contents: Buffer.from('tents') });
    });
  });
});
