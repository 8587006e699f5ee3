import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const hash = (contents: string): string => createHash('sha256').update(contents).digest('hex');

/** The scripts in a checkout whose binaries and check sums are the test's. */
async function withCheckout(use: (checkout: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (checkout) => {
    for (const name of ['scripts', 'package.json']) {
      await cp(path.join(projectDirectory, name), path.join(checkout, name), { recursive: true });
    }
    await symlink(path.join(projectDirectory, 'node_modules'), path.join(checkout, 'node_modules'));
    await mkdir(path.join(checkout, 'prebuilds', 'win32-x64'), { recursive: true });
    await use(checkout);
  });
}

test.runIf(has('crossCompiler'))(
  'a binary that is not the one of the check sums is told before anything is built',
  async () => {
    await withCheckout(async (checkout) => {
      const binary = path.join(checkout, 'prebuilds', 'win32-x64', 'holdfast.node');
      await writeFile(binary, 'tampered');
      const sums = `${hash('built')}  win32-x64/holdfast.node\n`;
      await writeFile(path.join(checkout, 'prebuilds', 'SHA256SUMS'), sums);
      const script = path.join(checkout, 'scripts', 'prebuild.mjs');
      const verify = await runNode([script, '--verify'], { cwd: checkout });
      expect(verify).toMatchObject({ code: 1, signal: null, stdout: '' });
      expect(verify.stderr).toContain('DIFFERENT: win32-x64/holdfast.node');
      expect(verify.stderr).toContain(hash('tampered'));
      expect(await readFile(binary, 'utf8')).toBe('tampered');
    });
  },
);

test('the check sums name each target, and nothing else', async () => {
  const text = await readFile(path.join(projectDirectory, 'prebuilds', 'SHA256SUMS'), 'utf8');
  const lines = text.trimEnd().split('\n');
  const files = lines.map((line) => /^[0-9a-f]{64} {2}(\S+)$/.exec(line)?.[1]);
  expect(files).toEqual([
    'darwin-arm64/holdfast.node',
    'darwin-x64/holdfast.node',
    'linux-arm64/holdfast.glibc.node',
    'linux-arm64/holdfast.musl.node',
    'linux-x64/holdfast.glibc.node',
    'linux-x64/holdfast.musl.node',
    'win32-arm64/holdfast.node',
    'win32-x64/holdfast.node',
  ]);
});
