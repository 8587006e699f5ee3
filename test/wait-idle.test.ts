import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { mustBlock } from './helpers/must-block.js';
import { kernelWaiters, processorTime, until } from './helpers/process-figures.js';
import { atScale, ms, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

const duration = atScale(10_000, 1200);

/** How often the threads of a process went to sleep so far: each time something had woken them. */
function timesSlept(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))
    .map((status) => Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]))
    .reduce((sum, count) => sum + count, 0);
}

describe.runIf(has('proc'))('a process that waits does nothing meanwhile', () => {
  test.each(['lock', 'lockSync'] as const)('%s', (form) =>
    withTemporaryDirectory((directory) =>
      withLockAgents(async (agents) => {
        const [holder, waiter] = await Promise.all([agents.process(), agents.process()]);
        const target = path.join(directory, 'file');
        const held = await holder.lock(target);
        const granted = await mustBlock(waiter[form](target), form);
        await until(() => kernelWaiters(held.lockPath) === 1, 'the wait to reach the kernel');
        await sleep(200); // whatever a young process still has to do

        const [processor, slept] = [processorTime(waiter.pid), timesSlept(waiter.pid)];
        await sleep(duration);
        const used = processorTime(waiter.pid) - processor;
        const wakeUps = timesSlept(waiter.pid) - slept;
        printFigure(
          `${form}, waiting for ${ms(duration)}: ${ms(used)} of processor time, ${wakeUps} wake-ups`,
        );
        expect(used).toBeLessThan(duration / 4);
        expect(wakeUps).toBeLessThan(duration / 4);

        await held.release();
        await (await granted()).release();
      }),
    ),
  );
});
