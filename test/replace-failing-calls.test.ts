import path from 'node:path';

import type { ReplaceSyncOptions } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { AgentError } from './helpers/agent-lock.js';
import { has } from './helpers/capabilities.js';
import { newContents, oldContents, outcomeOf, withAgent } from './helpers/failing-replaces.js';
import { makeOld, randomName } from './helpers/leftovers.js';
import { expectFile, leftBehind, makeFile, replaceCases } from './helpers/replaced-file.js';
import { limitAtScale, printFigure, stress } from './helpers/scale.js';
import { withFaults, withSteadyCalls } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

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
  fail('pwrite64:error=ENOSPC:when=5', 'copy', { code: 'ENOSPC', phase: 'copy', ...restored }),
  fail('pwrite64:error=EIO:when=6', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
  fail('pwrite64:retval=0:when=6', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
  fail('fdatasync:error=EIO:when=1', 'copy', { code: 'EIO', phase: 'copy', ...restored }),
];
function fail(fault: string, way: 'rename' | 'copy', expected: Failure['expected']): Failure {
  return { fault, way, expected };
}

describe.runIf(has('strace')).each(worlds)(
  'a system call that fails, $world',
  ({ world, options: agentOptions }) => {
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
            printFigure(
              `${failures.length} failures of system calls, ${world}, ${form}: all old bytes intact`,
            );
          }, agentOptions),
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
        }, agentOptions),
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
        }, agentOptions),
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
              const left = (await leftBehind(directory)).filter((one) => randomName.test(one));
              if (left.length > 0) {
                // A temporary file that could not be removed is, later on.
                expect({ name, world }, where).toEqual({
                  name: 'unlinkat',
                  world: worlds[1]?.world,
                });
                makeOld(directory);
                const later = await agents.process(agentOptions);
                await later.replaceFile(target, contents);
              }
              await expectFile(target, { contents, mode: 0o604 }, where);
            }
            const figures = [...outcomes].map(([state, count]) => `${count} ${state}`).join(', ');
            printFigure(
              `EIO at ${points.length} system calls, ${world}, ${form}, ${way}: ${figures}`,
            );
            expect(outcomes.get('unknown') ?? 0).toBe(0);
          }, agentOptions),
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
          }, agentOptions),
        );
      },
    );
  },
);
