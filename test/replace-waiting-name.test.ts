import { readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { makeOld, randomName, randomNameOf } from './helpers/leftovers.js';
import { withLockAgents } from './helpers/lock-agents.js';
import type { LockAgents, ProcessAgent } from './helpers/lock-agents.js';
import { until } from './helpers/process-figures.js';
import { expectFile, makeFile } from './helpers/replaced-file.js';
import { withFaults } from './helpers/system-call-faults.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

describe.runIf(has('strace'))('where there are unnamed files', () => {
  test('no directory is listed, except after something was found left behind under the waiting name', async () => {
    await inDirectory(async (directory, agents) => {
      const file = await makeFile(path.join(directory, 'file'), 'before');
      await makeFile(path.join(directory, randomNameOf(1)), 'left behind');
      makeOld(directory);
      const replaceBy = async (agent: ProcessAgent, faults: string[]) =>
        withFaults(agents.children, agent.pid, faults, () =>
          agent.replaceFileSync(file, 'after').catch(() => agent.waitForExit()),
        );

      const usual = await replaceBy(await agents.process(), []);
      expect(usual.calls.some(({ name }) => name === 'getdents64')).toBe(false);
      expect(await readdir(directory)).toEqual([randomNameOf(1), 'file']);

      const killed = await replaceBy(await agents.process(), ['renameat:signal=KILL']);
      expect(killed.value).toEqual({ code: null, signal: 'SIGKILL' });
      expect((await readdir(directory)).sort()).toEqual([
        randomNameOf(1),
        expect.stringMatching(/^\.holdfast-\d+\.tmp$/),
        'file',
      ]);
      expect((await replaceBy(await agents.process(), [])).value).toMatchObject({
        method: 'rename',
      });
      await expectFile(file, { contents: 'after', mode: 0o640 });
    });
  });

  test('somebody who is about to rename is waited for', async () => {
    await whileOtherRenames(0.5, async (agent, agents, file) => {
      // Slow enough to have many tries left when the other is through.
      const { calls } = await withFaults(
        agents.children,
        agent.pid,
        ['linkat:delay_exit=100000'],
        () => agent.replaceFile(file, 'second'),
      );
      const names = linkedNames(calls);
      expect(names.length).toBeGreaterThan(1);
      expect(new Set(names).size).toBe(1);
    });
  });

  test('somebody who does not come to rename is waited for a few milliseconds only', async () => {
    await whileOtherRenames(2, async (agent, agents, file, isThrough) => {
      const { calls } = await withFaults(agents.children, agent.pid, [], () =>
        agent.replaceFile(file, 'second'),
      );
      expect(isThrough()).toBe(false);
      const names = linkedNames(calls);
      expect(names.length).toBeGreaterThan(2);
      expect(names.at(-1)).toMatch(randomName);
      expect(new Set(names).size).toBe(2);
    });
  });

  /** Runs `use` while somebody else has linked his file and takes that many seconds to rename it. */
  async function whileOtherRenames(
    seconds: number,
    use: (
      agent: ProcessAgent,
      agents: LockAgents,
      file: string,
      isThrough: () => boolean,
    ) => Promise<void>,
  ): Promise<void> {
    await inDirectory(async (directory, agents) => {
      const file = await makeFile(path.join(directory, 'file'), 'before');
      const [slow, agent] = [await agents.process(), await agents.process()];
      let through = false;
      await withFaults(
        agents.children,
        slow.pid,
        [`renameat:delay_enter=${seconds * 1_000_000}`],
        async () => {
          const renamed = slow.replaceFile(file, 'first').then(() => (through = true));
          await until(() => readdirSync(directory).length > 1, 'the other one to link its file');
          await use(agent, agents, file, () => through);
          expect(await renamed).toBe(true);
        },
      );
      expect(await readdir(directory)).toEqual(['file']);
      expect(await readFile(file, 'utf8')).toMatch(/^(first|second)$/);
    });
  }
});

function linkedNames(calls: readonly { name: string; line: string }[]): string[] {
  return calls
    .filter(({ name }) => name === 'linkat')
    .map(({ line }) => /"(\.holdfast-[^"]+)"/.exec(line)?.[1] ?? line);
}

async function inDirectory(
  use: (directory: string, agents: LockAgents) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((directory) => withLockAgents((agents) => use(directory, agents)));
}
