import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run, runNode } from './helpers/child.js';
import { commandFile } from './helpers/command-line.js';
import { codeBlocksOf, pages } from './helpers/documents.js';
import type { CodeBlock } from './helpers/documents.js';
import { installWithoutAddon, placeAddon } from './helpers/installed-copy.js';
import { fixturesDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

/** Every block of these pages is run, but for those that say why not. api.md has declarations, which the compiler reads. */
const documents = pages.filter((page) => page !== 'docs/api.md');

/** Files that the reader of a page has, and we have not. */
const readersFiles = ['import.mjs', 'new.json', 'render'];

/** Makes `directory` a project that has holdfast installed, with the command. */
async function makeProject(directory: string): Promise<void> {
  placeAddon(installWithoutAddon(directory));
  const commands = path.join(directory, 'node_modules', '.bin');
  await mkdir(commands);
  const command = path.join(commands, 'holdfast');
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${commandFile}' "$@"\n`);
  await chmod(command, 0o755);
  for (const name of readersFiles) {
    await copyFile(path.join(fixturesDirectory, 'documents', name), path.join(directory, name));
  }
}

/** Runs a block where the ones before it on its page were run, and hands back what it printed. */
async function runBlock({ language, code }: CodeBlock, directory: string): Promise<string> {
  if (language === 'json') return JSON.stringify(JSON.parse(code));
  const options = {
    cwd: directory,
    env: { PATH: [path.join(directory, 'node_modules', '.bin'), process.env.PATH].join(':') },
  };
  if (language === 'sh') {
    // What a line ends with may be an answer; a mistake is seen by what is complained of.
    const { stdout, ...end } = await run('sh', ['-c', `${code}\ntrue`], options);
    expect(end).toEqual({ code: 0, signal: null, stderr: '' });
    return stdout;
  }
  await writeFile(path.join(directory, 'example.mjs'), code);
  const { stdout, ...end } = await runNode(['example.mjs'], options);
  expect(end).toEqual({ code: 0, signal: null, stderr: '' });
  return stdout;
}

describe.each(documents)('%s', (page) => {
  const blocks = codeBlocksOf(page);
  const run = blocks.filter(({ excuse }) => excuse === null);

  test('has no block of code that is neither run nor excused', () => {
    const others = run.filter(({ language }) => !['js', 'sh', 'json'].includes(language));
    expect(others.map(({ line, language }) => `${page}:${line} ${language}`)).toEqual([]);
  });

  const runnable = run.filter(({ language }) => language !== 'sh' || has('posixShell'));
  test.runIf(runnable.length > 0)('is true, block by block', () =>
    withTemporaryDirectory(async (directory) => {
      await makeProject(directory);
      for (const block of runnable) {
        await runBlock(block, directory).catch((error: unknown) => {
          throw new Error(`${page}:${block.line}: ${String(error)}`, { cause: error });
        });
      }
    }),
  );
});

test('the first example of README.md counts', () =>
  withTemporaryDirectory(async (directory) => {
    await makeProject(directory);
    const [first] = codeBlocksOf('README.md');
    if (first === undefined) throw new Error('README.md has no code');
    expect(await runBlock(first, directory)).toBe('visit number 1\n');
    expect(await runBlock(first, directory)).toBe('visit number 2\n');
  }));
