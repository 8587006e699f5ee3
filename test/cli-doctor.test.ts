import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode, withChildren } from './helpers/child.js';
import type { Child, ChildOptions } from './helpers/child.js';
import { commandFile, hasTerminal, holdfast, onTerminal } from './helpers/command-line.js';
import { addonUnderTest, installWithoutAddon } from './helpers/installed-copy.js';
import { fill, whileReadOnly, withSmallExt4, withSmallTmpfs } from './helpers/mounts.js';
import { ordinaryUser } from './helpers/ordinary-user.js';
import { until } from './helpers/process-figures.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

type Verdict = 'sound' | 'limited' | 'unusable';
interface Diagnosis {
  verdict: Verdict;
  advice: string;
  host: Record<string, string | null>;
  addon: { file: string | null; origin: string | null; error: string | null };
  fileSystem: { name: string; class: string; freeBytes: number } | null;
  findings: { check: string; result: string; text: string; code?: string }[];
}

const exitCodes = { sound: 0, limited: 1, unusable: 2 } as const;

/** What `holdfast doctor --json` says of a directory, in which it must leave nothing. */
async function examine(directory: string, options: ChildOptions = {}): Promise<Diagnosis> {
  const before = await readdir(directory);
  const { stdout, ...end } = await holdfast(['doctor', '--json', directory], options);
  const diagnosis = JSON.parse(stdout) as Diagnosis;
  expect(end).toEqual({ code: exitCodes[diagnosis.verdict], signal: null, stderr: '' });
  expect(await readdir(directory)).toEqual(before);
  return diagnosis;
}

function resultOf({ findings }: Diagnosis, check: string): string | undefined {
  return findings.find((finding) => finding.check === check)?.result;
}

describe('holdfast doctor', () => {
  test('finds locks that exclude and end with their holder, and says what it ran on', () =>
    withTemporaryDirectory(async (directory) => {
      const diagnosis = await examine(directory);
      const { host, addon, fileSystem, verdict } = diagnosis;
      expect(verdict).not.toBe('unusable');
      expect(host).toMatchObject({
        node: process.versions.node,
        nodeApi: process.versions.napi,
        platform: process.platform,
        arch: process.arch,
      });
      expect(addon).toMatchObject({ file: addonUnderTest, error: null });
      expect(fileSystem?.freeBytes).toBeGreaterThan(0);
      for (const check of ['exclusion', 'crash']) expect(resultOf(diagnosis, check)).toBe('yes');
      // Wine cannot rename over a file that is open, and says so.
      const rename = has('replaceOpenFiles') ? 'yes' : 'no';
      expect(resultOf(diagnosis, 'rename')).toBe(rename);
      expect(verdict).toBe(rename === 'yes' ? 'sound' : 'limited');
      expect(resultOf(diagnosis, 'unnamed-files')).toBe(has('unnamedFiles') ? 'yes' : 'unknown');
    }));

  test('says the same in words, and looks at the working directory if none is named', () =>
    withTemporaryDirectory(async (directory) => {
      const { verdict, advice, findings } = await examine(directory);
      const said = await holdfast(['doctor'], { cwd: directory });
      expect(said).toMatchObject({ code: exitCodes[verdict], signal: null, stderr: '' });
      expect(said.stdout.split('\n')[0]).toBe(directory);
      expect(said.stdout).toContain(`Node ${process.versions.node}`);
      for (const { check } of findings)
        expect(said.stdout).toMatch(new RegExp(`^  (ok|no|\\?) +${check} `, 'm'));
      expect(said.stdout.trimEnd().split('\n').at(-1)).toBe(`${verdict}: ${advice}`);
    }));

  test.runIf(has('mountExt4'))('ext4 is sound, until it is full', () =>
    withSmallExt4(async (root) => {
      const diagnosis = await examine(root);
      expect(diagnosis).toMatchObject({
        verdict: 'sound',
        fileSystem: { name: 'ext4', class: 'local' },
      });
      expect(diagnosis.findings.map(({ result }) => result)).toEqual(Array(6).fill('yes'));
      await fill(root);
      const full = await examine(root);
      expect(full).toMatchObject({ verdict: 'unusable', fileSystem: { freeBytes: 0 } });
      expect(full.findings[0]).toMatchObject({ check: 'exclusion', result: 'no', code: 'ENOSPC' });
      expect(full.advice).toContain('make room');
    }),
  );

  test.runIf(has('mountTmpfs'))('tmpfs is sound, but not when it is read-only or full', () =>
    withSmallTmpfs(async (root) => {
      expect(await examine(root)).toMatchObject({
        verdict: 'sound',
        fileSystem: { name: 'tmpfs', class: 'local' },
      });
      await whileReadOnly(root, async () => {
        const readOnly = await examine(root);
        expect(readOnly.verdict).toBe('unusable');
        expect(readOnly.findings[0]).toMatchObject({ result: 'no', code: 'EROFS' });
        expect(readOnly.advice).toContain('read-only');
      });
      await fill(root);
      const full = await examine(root);
      expect(full.verdict).toBe('unusable');
      expect(full.findings[0]).toMatchObject({ result: 'no', code: 'ENOSPC' });
    }),
  );

  test.runIf(has('ordinaryUser'))('a directory that may not be written is told as that', () =>
    withTemporaryDirectory(
      async (directory) => {
        const { verdict, findings, advice } = await examine(directory, ordinaryUser);
        expect(verdict).toBe('unusable');
        expect(findings[0]).toMatchObject({ result: 'no', code: 'EACCES' });
        expect(advice).toContain('may not write');
      },
      { mode: 0o755 },
    ),
  );

  describe.runIf(has('strace'))('where the system answers flock()', () => {
    const answering = (answer: string): ChildOptions => ({
      prefix: ['strace', '-f', '-o', '/dev/null', '-e', `inject=flock:${answer}`],
    });

    test('without locking anything: the trial finds out', () =>
      withTemporaryDirectory(async (directory) => {
        const diagnosis = await examine(directory, answering('retval=0'));
        expect(diagnosis.verdict).toBe('unusable');
        expect(diagnosis.findings[0]).toMatchObject({
          check: 'exclusion',
          result: 'no',
          text: 'this process got the lock while another one held it',
        });
      }));

    test('with ENOLCK: it says where to go', () =>
      withTemporaryDirectory(async (directory) => {
        const diagnosis = await examine(directory, answering('error=ENOLCK'));
        expect(diagnosis.verdict).toBe('unusable');
        expect(diagnosis.findings[0]).toMatchObject({ result: 'no', code: 'ENOLCK' });
        expect(resultOf(diagnosis, 'crash')).toBe('unknown');
        expect(diagnosis.advice).toContain('offers no locks');
      }));
  });

  test('a directory that is not there is an error that says what must be', () =>
    withTemporaryDirectory(async (directory) => {
      const result = await holdfast(['doctor', path.join(directory, 'absent')]);
      expect(result).toMatchObject({ code: 71, signal: null, stdout: '' });
      expect(result.stderr).toMatch(/^holdfast doctor: ENOENT: .*The directory must exist/);
    }));

  test.runIf(has('signals'))('an end in the middle leaves no process and no file', () =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const interrupted = async (): Promise<Child> => {
          const child = children.spawnNode([commandFile, 'doctor', directory]);
          await until(
            () => readdirSync(directory).length > 0,
            () => 'the directory that it works in',
          );
          child.kill('SIGTERM');
          // It may have come to its end before the signal.
          return (await child.waitForExit()).code === 0 ? interrupted() : child;
        };
        const child = await interrupted();
        expect(await child.waitForExit()).toEqual({ code: 128 + 15, signal: null });
        expect(child.stderr).toBe('holdfast doctor: ended by SIGTERM\n');
        expect(readdirSync(directory)).toEqual([]);
        // Its output was read to the end, so that nobody has it open any more: the process that held the lock has ended.
      }),
    ),
  );

  test('without an addon it says so, and what to do', () =>
    withTemporaryDirectory(async (directory) => {
      const main = path.join(installWithoutAddon(directory), 'dist', 'cli', 'main.js');
      const result = await runNode([main, 'doctor', '--json', directory], {
        env: { PREBUILDS_ONLY: undefined },
      });
      expect(result).toMatchObject({ code: 2, signal: null, stderr: '' });
      const { verdict, addon, findings } = JSON.parse(result.stdout) as Diagnosis;
      expect(verdict).toBe('unusable');
      expect(addon.error).toMatch(/^ENOTSUP: .*npx holdfast rebuild/);
      expect(findings).toEqual([]);
    }));

  test.runIf(hasTerminal).each([
    { env: { TERM: 'xterm', NO_COLOR: undefined }, colours: true },
    { env: { TERM: 'xterm', NO_COLOR: '1' }, colours: false },
    { env: { TERM: 'dumb', NO_COLOR: undefined }, colours: false },
  ])('on a terminal with $env, colours: $colours', ({ env, colours }) =>
    withTemporaryDirectory((directory) =>
      withChildren(async (children) => {
        const [command, args] = onTerminal(['doctor', directory]);
        const child = children.spawn(command, args, { env });
        expect(await child.waitForExit()).toEqual({ code: 0, signal: null });
        expect(child.stdout.includes('\u001b[32m')).toBe(colours);
        expect(child.stdout).toContain('sound');
      }),
    ),
  );
});
