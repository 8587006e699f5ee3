import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { replaceFile } from 'holdfast';
import type { ReplaceSyncOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import { AgentError, withLockAgents } from './helpers/lock-agent.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agent.js';
import { freeBytes, withSmallExt4, withSmallTmpfs } from './helpers/mounts.js';
import { descriptorCount } from './helpers/process-figures.js';
import { expectFile, makeFile, replaceBy, replaceCases } from './helpers/replaced-file.js';
import { limitAtScale, printFigure, stress } from './helpers/scale.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';
import type { SystemCall } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const oldContents = 'old bytes '.repeat(800);
const newContents = 'NEW BYTES '.repeat(1600);

/** What every failure before publishing says. */
const intact = { published: false, targetState: 'old' };

const disks = [
  { disk: 'a tmpfs of 64 KiB', needs: 'mountTmpfs', withDisk: withSmallTmpfs },
  { disk: 'an ext4 of 2 MiB', needs: 'mountExt4', withDisk: withSmallExt4 },
] as const;

for (const { disk, needs, withDisk } of disks) {
  describe.runIf(has(needs))(`on ${disk}`, () => {
    test.each(replaceCases)(
      'contents that do not fit leave the old file: $form, $way',
      async ({ form, options }) => {
        await withDisk(async (root) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          const free = await freeBytes(root);
          for (const size of [free + 1000, free + 10_000_000, free - 1]) {
            const data = Buffer.alloc(size, 'n');
            // The last block goes to the file system itself, or to the journal of the copy.
            const outcome = await replaceBy(form, target, data, options).catch(
              (error: unknown) => error,
            );
            if (size < free && !(outcome instanceof Error)) {
              await expectFile(target, { contents: data, mode: 0o640 });
              continue;
            }
            expect(outcome).toMatchObject({ ...intact, code: 'ENOSPC', path: target });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
            expect(await freeBytes(root)).toBe(free);
          }
        });
      },
    );

    test.each(replaceCases)(
      'when the disk is full to the last byte, the old file stays: $form, $way',
      async ({ form, options }) => {
        await withDisk(async (root) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          await fill(root);
          const before = await readdir(root);
          for (const contents of ['n'.repeat(oldContents.length), newContents]) {
            await expect(replaceBy(form, target, contents, options)).rejects.toMatchObject({
              ...intact,
              code: 'ENOSPC',
              path: target,
            });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
            expect(await readdir(root)).toEqual(before);
          }
        });
      },
    );

    test('a copy whose growth does not fit changes no byte, although its journal lies elsewhere', async () => {
      await withTemporaryDirectory(async (journalDir) =>
        withDisk(async (root) => {
          const target = await makeFile(path.join(root, 'data'), oldContents);
          const free = await freeBytes(root);
          // The temporary file takes more than half of what is free, and the growth needs as much again.
          const options = { copyFallback: 'always', journalDir } as const;
          await expect(
            replaceFile(target, Buffer.alloc((free * 3) / 4), options),
          ).rejects.toMatchObject({ ...intact, code: 'ENOSPC', phase: 'copy' });
          await expectFile(target, { contents: oldContents, mode: 0o640 });
          expect(await freeBytes(root)).toBe(free);
          expect(await readdir(journalDir)).toEqual([]);
        }),
      );
    });

    test('a stream that does not fit leaves the old file, and a smaller one fits then', async () => {
      await withDisk(async (root) => {
        const target = await makeFile(path.join(root, 'data'), oldContents);
        const free = await freeBytes(root);
        const chunk = Buffer.alloc(10_007, 'n');
        const chunks = new Array<Buffer>(Math.ceil(free / chunk.length) + 2).fill(chunk);
        await expect(replaceFile(target, chunks)).rejects.toMatchObject({
          ...intact,
          code: 'ENOSPC',
          phase: 'write',
        });
        await expectFile(target, { contents: oldContents, mode: 0o640 });
        await replaceFile(target, chunks.slice(0, 3));
        await expectFile(target, { contents: Buffer.concat(chunks.slice(0, 3)), mode: 0o640 });
      });
    });

    test.runIf(has('strace')).each(replaceCases)(
      'where no room can be reserved, the short write of a full disk is not taken for success: $form, $way',
      async ({ form, options }) => {
        await withDisk(async (root) =>
          withAgent(async (agent, agents) => {
            const target = await makeFile(path.join(root, 'data'), oldContents);
            const data = Buffer.alloc((await freeBytes(root)) + 1000, 'n');
            const { value, calls } = await withFaults(
              agents.children,
              agent.pid,
              ['fallocate:error=EOPNOTSUPP'],
              () => outcomeOf(agent[form](target, data, options)),
            );
            expect(value).toMatchObject({ ...intact, code: 'ENOSPC', phase: 'write' });
            const writes = calls.filter(({ name }) => name === 'pwrite64');
            expect(writes.some(isShortWrite), 'the kernel took a part').toBe(true);
            await expectFile(target, { contents: oldContents, mode: 0o640 });
          }),
        );
      },
    );
  });
}

describe.runIf(has('prlimit'))('under a limit on the size of files', () => {
  test.each(replaceCases)(
    'the short write and the EFBIG after it leave the old file: $form, $way',
    async ({ form, options }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(
          async (agent) => {
            const target = await makeFile(path.join(directory, 'data'), oldContents);
            const data = Buffer.alloc(61_440, 'n');
            expect(await outcomeOf(agent[form](target, data, options))).toMatchObject({
              ...intact,
              code: 'EFBIG',
              phase: 'write',
              path: target,
            });
            await expectFile(target, { contents: oldContents, mode: 0o640 });
          },
          ['prlimit', '--fsize=20480'],
        ),
      );
    },
  );

  test('a copy whose journal would be too long changes no byte', async () => {
    await withTemporaryDirectory(async (directory) =>
      withAgent(
        async (agent) => {
          const contents = Buffer.alloc(61_440, 'o');
          const target = await makeFile(path.join(directory, 'data'), contents);
          const options = { copyFallback: 'always' } as const;
          expect(await outcomeOf(agent.replaceFile(target, 'new', options))).toMatchObject({
            ...intact,
            code: 'EFBIG',
            phase: 'copy',
          });
          await expectFile(target, { contents, mode: 0o640 });
          // A rename needs no journal.
          await agent.replaceFile(target, 'new');
          await expectFile(target, { contents: 'new', mode: 0o640 });
        },
        ['prlimit', '--fsize=20480'],
      ),
    );
  });
});

describe.runIf(has('strace'))('a system call that fails', () => {
  interface Failure {
    fault: string;
    way: 'rename' | 'copy';
    options?: ReplaceSyncOptions;
    expected: { code: string; phase: string; published?: boolean; targetState: string };
  }
  const old = { published: false, targetState: 'old' };
  const restored = { published: false, targetState: 'restored' };
  const failures: Failure[] = [
    ...(['rename', 'copy'] as const).flatMap((way): Failure[] => [
      fail('fallocate:error=ENOSPC:when=1', way, { code: 'ENOSPC', phase: 'reserve', ...old }),
      fail('fallocate:error=EDQUOT:when=1', way, { code: 'EDQUOT', phase: 'reserve', ...old }),
      fail('pwrite64:error=ENOSPC:when=1', way, { code: 'ENOSPC', phase: 'write', ...old }),
      fail('pwrite64:error=EDQUOT:when=1', way, { code: 'EDQUOT', phase: 'write', ...old }),
      fail('pwrite64:error=EIO:when=1', way, { code: 'EIO', phase: 'write', ...old }),
      fail('pwrite64:retval=0:when=1', way, { code: 'EIO', phase: 'write', ...old }),
    ]),
    fail('fdatasync:error=EIO', 'rename', { code: 'EIO', phase: 'flush', ...old }),
    fail('fdatasync:error=ENOSPC', 'rename', { code: 'ENOSPC', phase: 'flush', ...old }),
    {
      ...fail('fsync:error=EIO:when=1', 'rename', { code: 'EIO', phase: 'flush', ...old }),
      options: { durability: 'full' },
    },
    fail('fchmod:error=EIO', 'rename', { code: 'EIO', phase: 'attributes', ...old }),
    // The journal, its reservation, and that of the target.
    fail('fallocate:error=ENOSPC:when=2', 'copy', { code: 'ENOSPC', phase: 'copy', ...old }),
    fail('fallocate:error=ENOSPC:when=3', 'copy', { code: 'ENOSPC', phase: 'copy', ...old }),
    fail('pwrite64:error=ENOSPC:when=2', 'copy', { code: 'ENOSPC', phase: 'copy', ...old }),
    fail('pwrite64:error=EIO:when=3', 'copy', { code: 'EIO', phase: 'copy', ...old }),
    fail('fsync:error=EIO:when=1', 'copy', { code: 'EIO', phase: 'copy', ...old }),
    fail('fsync:error=EIO:when=2', 'copy', { code: 'EIO', phase: 'copy', ...old }),
    // From here on bytes of the target have changed.
    fail('pwrite64:error=ENOSPC:when=4', 'copy', { code: 'ENOSPC', phase: 'copy', ...restored }),
    fail('pwrite64:error=EIO:when=5', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
    fail('pwrite64:retval=0:when=5', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
    fail('fdatasync:error=EIO:when=1', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
  ];
  function fail(fault: string, way: 'rename' | 'copy', expected: Failure['expected']): Failure {
    return { fault, way, expected };
  }

  test.each(['replaceFile', 'replaceFileSync'] as const)(
    'leaves the old bytes and mode, and the error says where it was: %s',
    async (form) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = path.join(directory, 'data');
          for (const { fault, way, options, expected } of failures) {
            const what = `${fault}, ${way}`;
            await makeFile(target, oldContents, 0o604);
            const copyFallback = way === 'copy' ? 'always' : 'auto';
            const { value, calls } = await withFaults(agents.children, agent.pid, [fault], () =>
              outcomeOf(agent[form](target, newContents, { copyFallback, ...options })),
            );
            expect(value, what).toBeInstanceOf(AgentError);
            expect(value, what).toMatchObject({ ...expected, path: target });
            await expectFile(target, { contents: oldContents, mode: 0o604 }, what);
            if (fault.startsWith('f') && way === 'rename') {
              const [name] = fault.split(':');
              expect(calls.filter((call) => call.name === name).length, 'it is not retried').toBe(
                1,
              );
            }
          }
          printFigure(`${failures.length} failures of system calls, ${form}: all old bytes intact`);
        }),
      );
    },
    limitAtScale(60_000),
  );

  test('that flushes the directory is told from one that kept the file from being published', async () => {
    await withTemporaryDirectory(async (directory) =>
      withAgent(async (agent, agents) => {
        const target = await makeFile(path.join(directory, 'data'), oldContents);
        const { value } = await withFaults(
          agents.children,
          agent.pid,
          ['fsync:error=EIO:when=2'],
          () => outcomeOf(agent.replaceFile(target, newContents, { durability: 'full' })),
        );
        expect(value).toMatchObject({
          code: 'EIO',
          phase: 'directory',
          published: true,
          targetState: 'new',
        });
        await expectFile(target, { contents: newContents, mode: 0o640 });
      }),
    );
  });

  test('a write that is reported as done and was not is noticed', async () => {
    await withTemporaryDirectory(async (directory) =>
      withAgent(async (agent, agents) => {
        const target = await makeFile(path.join(directory, 'data'), oldContents);
        const { value } = await withFaults(
          agents.children,
          agent.pid,
          [`pwrite64:retval=${newContents.length}:when=1`],
          () => outcomeOf(agent.replaceFile(target, newContents)),
        );
        expect(value).toMatchObject({ code: 'EIO', phase: 'write', ...old });
        await expectFile(target, { contents: oldContents, mode: 0o640 });
      }),
    );
  });

  test.each(replaceCases)(
    'each in turn: old or new in whole, and nothing is left: $form, $way',
    async ({ form, way, options }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = path.join(directory, 'data');
          const attempt = async (faults: string[]) => {
            await makeFile(target, oldContents, 0o604);
            return withFaults(agents.children, agent.pid, faults, () =>
              outcomeOf(agent[form](target, newContents, { ...options, durability: 'full' })),
            );
          };
          const whole = await withSteadyCalls(() => attempt([]));
          expect(whole.value).toMatchObject({ method: way });
          await expectFile(target, { contents: newContents, mode: 0o604 });
          const points = whole.calls.filter(
            (_, at) => stress || form === 'replaceFileSync' || at % 4 === 0,
          );
          const outcomes = new Map<string, number>();
          for (const { name, occurrence, line } of points) {
            const { value } = await attempt([`${name}:error=EIO:when=${occurrence}`]);
            const where = `EIO at ${line}`;
            const failed = value instanceof AgentError;
            const state = failed ? String(value.targetState) : 'success';
            outcomes.set(state, (outcomes.get(state) ?? 0) + 1);
            if (failed) expect(value, where).toMatchObject({ code: 'EIO' });
            const published = failed ? value.published === true : true;
            const contents = published ? newContents : oldContents;
            // Reading is use: what could not be removed is, then.
            expect((await agent.readRegularFile(target))?.contents.toString(), where).toBe(
              contents,
            );
            await expectFile(target, { contents, mode: 0o604 }, where);
          }
          const figures = [...outcomes].map(([state, count]) => `${count} ${state}`).join(', ');
          printFigure(`EIO at ${points.length} system calls, ${form}, ${way}: ${figures}`);
          expect(outcomes.get('unknown') ?? 0).toBe(0);
        }),
      );
    },
    limitAtScale(60_000),
  );

  test.each(replaceCases)(
    'for a signal, again and again, changes nothing: $form, $way',
    async ({ form, way, options }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent, agents) => {
          const target = await makeFile(path.join(directory, 'data'), oldContents);
          const names = [
            ...['openat', 'fallocate', 'pwrite64', 'pread64', 'fchmod', 'fsync'],
            ...['fdatasync', 'linkat', 'renameat', 'ftruncate', 'fchown'],
          ];
          const faults = names.map((name) => `${name}:error=EINTR:when=1+2`);
          const { value, calls } = await withFaults(agents.children, agent.pid, faults, () =>
            outcomeOf(agent[form](target, newContents, { ...options, keep: ['mode', 'owner'] })),
          );
          expect(value).toMatchObject({ method: way });
          expect(calls.filter(({ injected }) => injected).length).toBeGreaterThan(8);
          await expectFile(target, { contents: newContents, mode: 0o640 });
        }),
      );
    },
  );
});

describe.runIf(has('prlimit', 'proc'))('without descriptors', () => {
  test.each(replaceCases)(
    'EMFILE at every open in turn leaves the old file: $form, $way',
    async ({ form, way, options }) => {
      await withTemporaryDirectory(async (directory) =>
        withAgent(async (agent) => {
          const target = await makeFile(path.join(directory, 'data'), oldContents);
          const open = descriptorCount(agent.pid);
          const phases = new Set<string>();
          let failures = 0;
          let outcome: unknown;
          for (let limit = open - 3; failures < 30; limit++, failures++) {
            await run('prlimit', ['--pid', String(agent.pid), `--nofile=${limit}:`]);
            outcome = await outcomeOf(agent[form](target, newContents, options));
            if (!(outcome instanceof AgentError)) break;
            expect(outcome).toMatchObject({ ...intact, code: 'EMFILE' });
            phases.add(String(outcome.phase));
            await expectFile(target, { contents: oldContents, mode: 0o640 });
          }
          expect(outcome).toMatchObject({ method: way });
          expect(failures).toBeGreaterThan(1);
          await expectFile(target, { contents: newContents, mode: 0o640 });
          printFigure(`EMFILE ${failures} times, ${form}, ${way}: in ${[...phases].join(', ')}`);
        }),
      );
    },
  );
});

async function withAgent(
  use: (agent: ProcessAgent, agents: LockAgents) => Promise<void>,
  prefix: readonly string[] = [],
): Promise<void> {
  await withLockAgents(async (agents) => use(await agents.process({ prefix }), agents));
}

/** What the call came to, be it an error. */
async function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: unknown) => error);
}

function isShortWrite({ line }: SystemCall): boolean {
  const [, asked, written] = /, (\d+), \d+\) += (\d+)$/.exec(line) ?? [];
  return Number(written) < Number(asked);
}

/** Takes all that is free, to the last byte. */
async function fill(root: string): Promise<void> {
  for (let size = 1 << 20; size > 0; size >>= 1) {
    for (let n = 0; ; n++) {
      const complete = await writeFile(
        path.join(root, `fill-${size}-${n}`),
        Buffer.alloc(size),
      ).then(
        () => true,
        () => false,
      );
      if (!complete) break;
    }
  }
}
