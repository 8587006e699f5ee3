import { appendFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { runNode } from './helpers/child.js';
import { projectDirectory } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const workflows = path.join(projectDirectory, '.github', 'workflows');
const files = readdirSync(workflows).filter((name) => name.endsWith('.yml'));
const textOf = (name: string) => readFileSync(path.join(workflows, name), 'utf8');

/** The lines of one job of a workflow. */
function jobOf(workflow: string, name: string): string {
  const [, job] = new RegExp(`\\n  ${name}:\\n((?:    .*\\n|\\n)+)`).exec(textOf(workflow)) ?? [];
  if (job === undefined) throw new Error(`${workflow} has no job ${name}`);
  return job;
}

test.each(files)(
  '%s takes actions by commit hash, images by digest, and no right by default',
  (name) => {
    const text = textOf(name);
    for (const [, action] of text.matchAll(/uses: (.+)/g)) {
      expect(action).toMatch(/^(?:\.\/.+|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/);
    }
    for (const [image] of text.matchAll(/\bnode:\d+-\w+.*/g)) {
      expect(image).toMatch(/^node:\d+-\w+@sha256:[0-9a-f]{64}$/);
    }
    expect(text).toMatch(/\npermissions:\n {2}contents: read\n/);
  },
);

describe('the job that may publish a release', () => {
  const job = jobOf('release.yml', 'publish');

  test('is the only one with a right', () => {
    const others = files.map((name) => textOf(name).replace(job, '')).join('\n');
    expect(others).not.toMatch(/: write\b/);
    expect(job.match(/: write\b/g)).toHaveLength(1);
  });

  test('downloads, compares and publishes, and installs and compiles nothing', () => {
    const steps = [...job.matchAll(/(?:run: |^ {10})(.+)/gm)].map(([, step]) => step);
    expect(steps.join('\n')).not.toMatch(/npm (?:ci|install|run|pack|exec)|npx/);
    expect(job).toContain('node scripts/release-sums.mjs tarball/package');
    expect(job).toMatch(/npm publish tarball\/\S+ .*--ignore-scripts/);
    // The comparison comes before.
    expect(job.indexOf('release-sums')).toBeLessThan(job.indexOf('npm publish'));
  });

  test('is given a tarball that was packed without a right, and without scripts', () => {
    const pack = jobOf('release.yml', 'pack');
    expect(pack).not.toContain('permissions');
    expect(pack).toContain('npm ci --ignore-scripts');
    expect(pack).toContain('npm pack --ignore-scripts');
  });
});

describe('release-sums', () => {
  /** A checkout of a few files, and the package that is made of it. */
  async function withPackage(
    use: (
      project: string,
      packed: string,
      compare: () => ReturnType<typeof runNode>,
    ) => Promise<void>,
  ): Promise<void> {
    await withTemporaryDirectory(async (directory) => {
      const project = path.join(directory, 'project');
      const packed = path.join(directory, 'package');
      for (const name of ['scripts/release-sums.mjs', 'package.json', 'README.md', 'binding.gyp']) {
        cpSync(path.join(projectDirectory, name), path.join(project, name), { recursive: true });
      }
      cpSync(
        path.join(projectDirectory, 'dist', 'index.js'),
        path.join(project, 'dist', 'index.js'),
      );
      const script = path.join(project, 'scripts', 'release-sums.mjs');
      const written = await runNode([script, '--write']);
      expect(written).toMatchObject({ code: 0, signal: null });
      cpSync(project, packed, { recursive: true });
      rmSync(path.join(packed, 'dist.SHA256SUMS'));
      cpSync(path.join(packed, 'binding.gyp'), path.join(packed, 'prebuilds', 'binding.gyp'));
      rmSync(path.join(packed, 'binding.gyp'));
      await use(project, packed, () => runNode([script, packed]));
    });
  }

  test('accepts a package whose files are those of the checkout', () =>
    withPackage(async (_project, _packed, compare) => {
      expect(await compare()).toMatchObject({ code: 0, signal: null, stderr: '' });
    }));

  test.each([
    ['changed code', 'dist/index.js: differs', 'dist/index.js'],
    ['a changed file of the checkout', 'README.md: differs', 'README.md'],
  ])('refuses %s', (_what, complaint, name) =>
    withPackage(async (_project, packed, compare) => {
      appendFileSync(path.join(packed, name), ' ');
      const outcome = await compare();
      expect(outcome).toMatchObject({ code: 1, signal: null });
      expect(outcome.stderr).toBe(`${complaint}\n`);
    }),
  );

  test('refuses code and binaries without a check sum, files that the checkout lacks, and missing ones', () =>
    withPackage(async (_project, packed, compare) => {
      for (const name of ['dist/more.js', 'more.node', 'more.txt']) {
        writeFileSync(path.join(packed, name), 'more');
      }
      rmSync(path.join(packed, 'dist', 'index.js'));
      const outcome = await compare();
      expect(outcome).toMatchObject({ code: 1, signal: null });
      expect(outcome.stderr.trimEnd().split('\n').toSorted()).toEqual([
        'dist/index.js: missing',
        'dist/more.js: has no check sum',
        'more.node: has no check sum',
        'more.txt: not in the checkout',
      ]);
    }));
});
