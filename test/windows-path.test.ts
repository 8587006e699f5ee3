import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  inspectLock,
  lock,
  lockSync,
  readRegularFile,
  readRegularFileSync,
  replaceFile,
  replaceFileSync,
  safeFileName,
  sanitizeSessionId,
  tryLock,
  tryLockSync,
  updateFile,
} from 'holdfast';
import { describe, expect, test } from 'vitest';

import { resolveOnWindows } from '../src/windows-path.js';
import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const devices = [
  ...['CON', 'con', 'PRN', 'AUX', 'NUL', 'nul', 'CONIN$', 'conout$', 'Nul'],
  ...Array.from({ length: 10 }, (_, digit) => [`COM${digit}`, `lpt${digit}`]).flat(),
  ...['COM¹', 'com²', 'LPT³'],
];

/** Names that Windows takes for another file, a device or nothing at all. */
const badNames = [
  ...devices,
  ...['nul.txt', 'CON.tar.gz', 'aux .txt', 'com1 ', 'NUL.', 'nul:'],
  ...['a.', 'a ', 'a. .', '...', '.. ', 'ä '],
  ...['file:stream', 'file::$DATA', ':', 'aa:b'],
  ...['a<', 'a>', 'a"', 'a|', 'a?', 'a*', 'a\u0001', 'a\n', 'a\u001f'],
];

const goodNames = [
  ...['a', 'a.b', '.a', '..a', ' a', 'a b', 'x.lock', '.git', 'ünï', 'a\u007f', 'a$', "a'&;%~"],
  ...['console', 'con1', 'com', 'com10', 'lpt', 'nulx', 'xnul', 'nul_.txt', 'conin', 'null'],
];

describe('a path on Windows', () => {
  test.each([
    ['data', 'C:\\work\\data'],
    ['.\\sub/data', 'C:\\work\\sub\\data'],
    ['C:/mixed\\slashes//and/.//more', 'C:\\mixed\\slashes\\and\\more'],
    ['C:\\link\\..\\data', 'C:\\data'],
    ['C:\\a\\..\\..\\..\\data', 'C:\\data'],
    ['C:\\folder\\', 'C:\\folder'],
    ['C:data', 'C:\\work\\data'],
    ['c:sub\\..\\data', 'c:\\work\\data'],
    ['\\data', 'C:\\data'],
    ['/data', 'C:\\data'],
    ['\\\\server\\share\\data', '\\\\server\\share\\data'],
    ['//server/share/sub/data', '\\\\server\\share\\sub\\data'],
    ['\\\\?\\C:\\data', '\\\\?\\C:\\data'],
    ['//?/C:/data', '\\\\?\\C:\\data'],
    ['\\\\?\\unc\\server\\share\\data', '\\\\?\\unc\\server\\share\\data'],
    [
      '\\\\?\\Volume{01234567-89ab-cdef-0123-456789abcdef}\\data',
      '\\\\?\\Volume{01234567-89ab-cdef-0123-456789abcdef}\\data',
    ],
    [`C:\\${'long\\'.repeat(100)}data`, `C:\\${'long\\'.repeat(100)}data`],
  ])('%s is %s', (given, expected) => {
    expect(resolveOnWindows(given, 'C:\\work')).toEqual({ path: expected });
  });

  test('begins on the share of a working directory there', () => {
    const directory = '\\\\server\\share\\work';
    expect(resolveOnWindows('data', directory)).toEqual({ path: `${directory}\\data` });
    expect(resolveOnWindows('\\data', directory)).toEqual({ path: '\\\\server\\share\\data' });
  });

  test.each([
    ...['C:\\', 'C:/', 'C:\\a\\..', '\\', '\\\\server\\share', '\\\\server\\share\\', '//a/b/c/..'],
    ...['\\\\server', '//server/', '\\\\?\\C:', '\\\\?\\C:\\', '\\\\?\\UNC\\server\\share'],
    ...['\\\\?\\Volume{01234567-89ab-cdef-0123-456789abcdef}\\', '\\\\?\\', '\\\\?\\UNC\\server'],
  ])('names no file or directory: %s', (given) => {
    expect(resolveOnWindows(given, 'C:\\work')).toEqual({
      problem: expect.stringMatching(/^must/) as string,
    });
  });

  test.each([
    ...['\\\\.\\C:\\data', '//./COM1', '\\\\.\\PhysicalDrive0', '\\\\.\\pipe\\name'],
    ...[
      '\\\\?\\COM1',
      '\\\\?\\pipe\\name',
      '\\\\?\\GLOBALROOT\\Device\\Harddisk0',
      '\\\\?\\C:data',
    ],
    ...['\\\\server\\pipe\\name', '\\\\.\\UNC\\server\\share\\data', '\\\\?\\UNC\\s\\PIPE\\name'],
    ...['\\??\\C:\\data', '\\\\localhost\\mailslot\\name'],
  ])('names a device: %s', (given) => {
    expect(resolveOnWindows(given, 'C:\\work')).toEqual({
      problem: expect.stringMatching(/^must/) as string,
    });
  });

  test.each(badNames)('has no name like %j, wherever it stands and in whatever form', (name) => {
    const problem = { problem: expect.stringMatching(/^must not contain /) as string };
    for (const given of [
      `C:\\${name}`,
      `C:\\${name}\\data`,
      `C:/a/${name}/b`,
      `C:.\\${name}`,
      `\\${name}`,
      `.\\${name}`,
      `\\\\server\\share\\${name}`,
      `\\\\?\\C:\\${name}`,
      `\\\\?\\UNC\\server\\share\\${name}\\data`,
    ]) {
      expect(resolveOnWindows(given, 'C:\\work'), given).toEqual(problem);
    }
  });

  test.each(goodNames)('may have the name %j', (name) => {
    for (const given of [`C:\\${name}`, `C:\\${name}\\${name}`, `\\\\server\\share\\${name}`]) {
      expect(resolveOnWindows(given, 'D:\\work'), given).toEqual({ path: given });
    }
  });

  test('is refused in words that say what is wrong', () => {
    expect(
      ['C:\\nul.txt', 'C:\\a ', 'C:\\a:b', 'C:\\a?'].map((given) => resolveOnWindows(given)),
    ).toEqual([
      { problem: 'must not contain "nul.txt", which names a device on Windows' },
      {
        problem: 'must not contain "a ": Windows drops a dot or a space at the end of a name',
      },
      {
        problem:
          'must not contain a colon behind the drive: on Windows that names a stream of a file',
      },
      { problem: 'must not contain < > " | ? * or a control character on Windows' },
    ]);
  });
});

const verbs: [string, (file: string) => unknown][] = [
  ['lock', (file) => lock(file)],
  ['lockSync', (file) => lockSync(file)],
  ['tryLock', (file) => tryLock(file)],
  ['inspectLock', (file) => inspectLock(file)],
  ['replaceFile', (file) => replaceFile(file, 'contents')],
  ['replaceFileSync', (file) => replaceFileSync(file, 'contents')],
  ['readRegularFile', (file) => readRegularFile(file)],
  ['updateFile', (file) => updateFile(file, () => 'contents')],
];

/** The same as options, beside a target that is in order. */
const options: [string, (target: string, file: string) => unknown][] = [
  ['lockPath', (target, file) => lock(target, { lockPath: file })],
  ['within', (target, file) => replaceFile(target, 'contents', { within: file })],
  ['journalDir', (target, file) => replaceFile(target, 'contents', { journalDir: file })],
];

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return null;
}

describe('a lone surrogate', () => {
  test.each(['\ud800', 'a\udc00b', '\ude00\ud83d'])('%j is in no name, on any system', (name) =>
    withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, name);
      const message = `must not contain a lone surrogate, got ${JSON.stringify(file)}`;
      for (const [verb, call] of verbs) {
        const error = await errorOf(() => call(file));
        expect(error, verb).toBeInstanceOf(TypeError);
        expect((error as Error).message, verb).toMatch(/^(?:target|path) must/);
        expect((error as Error).message, verb).toContain(message);
      }
      for (const [option, call] of options) {
        const error = await errorOf(() => call(path.join(directory, 'data'), file));
        expect(error, option).toBeInstanceOf(TypeError);
        expect((error as Error).message).toBe(`option '${option}' ${message}`);
      }
      expect(await readdir(directory)).toEqual([]);
    }),
  );

  test('is not half of a pair', () =>
    withTemporaryDirectory(async (directory) => {
      await replaceFile(path.join(directory, 'a😀'), 'contents');
      expect(await readdir(directory)).toEqual(['a😀']);
    }));
});

describe.runIf(has('windowsPaths'))('what Windows would not take as it is', () => {
  test.each([...devices.slice(0, 12), ...badNames.slice(devices.length)])(
    'is refused by everything, and leaves no file: %j',
    (name) =>
      withTemporaryDirectory(async (directory) => {
        for (const file of [`${directory}\\${name}`, `\\\\?\\${directory}\\${name}`]) {
          for (const [verb, call] of verbs) {
            expect(await errorOf(() => call(file)), verb).toBeInstanceOf(TypeError);
          }
          for (const [option, call] of options) {
            const error = await errorOf(() => call(`${directory}\\data`, file));
            expect(error, option).toBeInstanceOf(TypeError);
            expect((error as Error).message).toMatch(
              new RegExp(`^option '${option}' must not .*, got "`),
            );
          }
        }
        expect(await readdir(directory)).toEqual([]);
      }),
  );

  test.each(goodNames)('does not include %j', (name) =>
    withTemporaryDirectory(async (directory) => {
      const file = path.join(directory, name);
      const held = await lock(file);
      await replaceFile(file, 'contents', { lock: held });
      expect(await readFile(file, 'utf8')).toBe('contents');
      await held.release();
      expect((await readdir(directory)).sort()).toEqual([name, `.${name}.lock`].sort());
    }),
  );
});

describe.runIf(has('windowsPaths'))('one file on Windows', () => {
  test('is one lock under all its spellings, in one process and in another', () =>
    withTemporaryDirectory(async (directory) => {
      await mkdir(path.join(directory, 'sub'));
      const target = `${directory}\\Data.json`;
      const [drive = ''] = directory.split('\\');
      const spellings = [
        target,
        target.toUpperCase(),
        target.toLowerCase(),
        target.replaceAll('\\', '/'),
        `${directory}/sub\\..//Data.json\\`,
        `${directory}\\no-such-directory\\..\\Data.json`,
        `\\\\?\\${target}`,
        `//?/${target}`,
      ];
      const fromDirectory = ['data.json', '.\\DATA.JSON', `${drive}Data.json`, target.slice(2)];
      const script = `
        const { tryLockSync } = require('holdfast');
        process.chdir(process.argv[1]);
        console.log(JSON.stringify(process.argv.slice(2).filter((file) => tryLockSync(file) !== null)));`;
      const held = await lock(target);
      for (const spelling of spellings) {
        expect(await tryLock(spelling), spelling).toBeNull();
        expect(tryLockSync(spelling), spelling).toBeNull();
      }
      const all = [...spellings, ...fromDirectory];
      const other = await runNode(['-e', script, directory, ...all], { cwd: projectDirectory });
      expect(other).toEqual({ code: 0, signal: null, stdout: '[]\n', stderr: '' });
      await held.release();

      for (const spelling of spellings) {
        const again = await lock(spelling, { timeout: 20_000 });
        expect(await tryLock(target), spelling).toBeNull();
        await again.release();
      }
      expect(await readdir(directory)).toEqual(['.Data.json.lock', 'sub']);
    }));

  test('may have a path longer than 260 characters', () =>
    withTemporaryDirectory(async (directory) => {
      const far = path.join(directory, ...Array.from({ length: 12 }, () => 'n'.repeat(40)));
      const target = path.join(far, 'data');
      expect(target.length).toBeGreaterThan(500);
      await replaceFile(target, 'one', { recursive: true });
      const held = await lock(target);
      expect(held.lockPath).toBe(path.join(far, '.data.lock'));
      expect(tryLockSync(`\\\\?\\${target}`)).toBeNull();
      await replaceFile(target, 'two', { lock: held });
      await held.release();
      await replaceFile(target, 'three', { copyFallback: 'always' });
      const contents = await readRegularFile(target);
      expect(contents?.contents.toString()).toBe('three');
      expect(readRegularFileSync(target)?.contents.toString()).toBe('three');
      expect((await readdir(far)).sort()).toEqual(['.data.lock', 'data']);
    }));

  test('may have a name of 255 characters, though they are more bytes', () =>
    withTemporaryDirectory(async (directory) => {
      for (const letter of ['n', 'ä', '€']) {
        const target = path.join(directory, letter.repeat(255));
        const held = await lock(target);
        expect(path.basename(held.lockPath)).toMatch(/^\.[0-9a-f]{64}\.lock$/);
        expect(tryLockSync(target)).toBeNull();
        await held.release();
      }
    }));

  test('is no link where links are followed', () =>
    withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      for (const contents of ['', 'contents']) {
        const held = await lock(target, { links: 'follow' });
        expect(held.lockPath).toBe(path.join(directory, '.data.lock'));
        lockSync(path.join(directory, 'other'), { links: 'follow' }).releaseSync();
        await replaceFile(target, contents, { links: 'follow', lock: held });
        await held.release();
        const found = await readRegularFile(target, { links: 'follow' });
        expect(found?.contents.toString()).toBe(contents);
      }
    }));

  test.runIf(has('symlinks'))('is what a link leads to, and never a device', () =>
    withTemporaryDirectory(async (directory) => {
      mkdirSync(path.join(directory, 'far'));
      const far = path.join(directory, 'far', 'data');
      writeFileSync(far, 'contents');
      const links: [name: string, target: string][] = [
        ['relative', 'far\\data'],
        ['lexical', 'absent\\..\\far\\data'],
        ['absolute', far],
        ['verbatim', `\\\\?\\${far}`],
      ];
      for (const [name, target] of links) {
        const link = path.join(directory, name);
        symlinkSync(target, link, 'file');
        const held = await lock(link, { links: 'follow' });
        expect(await tryLock(far), name).toBeNull();
        await held.release();
      }
      for (const target of ['nul', 'far\\a:b', 'far\\data.']) {
        const link = path.join(directory, 'bad');
        symlinkSync(target, link, 'file');
        for (const call of [lock, lockSync]) {
          expect(await errorOf(() => call(link, { links: 'follow' })), target).toMatchObject({
            code: 'ELOOP',
            refused: true,
          });
        }
        await replaceFile(link, '', { links: 'replace' });
      }
      expect(readdirSync(path.join(directory, 'far')).sort()).toEqual(['.data.lock', 'data']);
    }),
  );
});

describe('an id that is no name on Windows', () => {
  const ids: [id: string, sanitized: string, begins: RegExp][] = [
    ['CON', 'CON', /^con-/],
    ['NUL', 'NUL', /^nul-/],
    ['COM1', 'COM1', /^com1-/],
    ['con', 'con', /^con-/],
    ['a.', 'a_', /^a_-/],
    ['a ', 'a_', /^a_-/],
    ['a:b', 'a_b', /^a_b-/],
    ['nul.txt', 'nul_txt', /^nul_txt-/],
    ['COM¹', 'COM_', /^com_-/],
  ];

  test.each(ids)('%j: safeFileName makes one of it', (id, sanitized, begins) =>
    withTemporaryDirectory(async (directory) => {
      expect(sanitizeSessionId(id)).toBe(sanitized);
      const name = safeFileName(id);
      expect(name).toMatch(begins);
      expect(resolveOnWindows(`C:\\${name}`)).toEqual({ path: `C:\\${name}` });
      await writeFile(path.join(directory, name), id);
      await replaceFile(path.join(directory, `${name}.json`), id);
      expect((await readdir(directory)).sort()).toEqual([name, `${name}.json`]);
      expect(await readFile(path.join(directory, name), 'utf8')).toBe(id);
    }),
  );
});
