import { symlink, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const readme = await readFile(path.join(projectDirectory, 'README.md'), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1] ?? '');

/** Runs `code` as a module of a project that has holdfast installed. */
async function runExample(code: string, directory: string): Promise<string> {
  await mkdir(path.join(directory, 'node_modules'), { recursive: true });
  await symlink(projectDirectory, path.join(directory, 'node_modules', 'holdfast')).catch(
    () => null, // the one of the run before
  );
  await writeFile(path.join(directory, 'example.mjs'), code);
  const child = await runNode(['example.mjs'], { cwd: directory });
  expect(child).toMatchObject({ code: 0, signal: null, stderr: '' });
  return child.stdout;
}

test.runIf(has('symlinks'))('the first example runs as printed, and counts', () =>
  withTemporaryDirectory(async (directory) => {
    const [code = ''] = examples;
    expect(await runExample(code, directory)).toBe('visit number 1\n');
    expect(await runExample(code, directory)).toBe('visit number 2\n');
  }),
);

test.runIf(has('symlinks'))('every other example runs as printed', () =>
  withTemporaryDirectory(async (directory) => {
    expect(examples.length).toBeGreaterThan(1);
    for (const code of examples.slice(1)) await runExample(code, directory);
  }),
);
