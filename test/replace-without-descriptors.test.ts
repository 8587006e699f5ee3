import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { AgentError } from './helpers/agent-lock.js';
import { has } from './helpers/capabilities.js';
import { run } from './helpers/child.js';
import {
  intact,
  newContents,
  oldContents,
  outcomeOf,
  withAgent,
} from './helpers/failing-replaces.js';
import { descriptorCount } from './helpers/process-figures.js';
import { expectFile, makeFile, replaceCases } from './helpers/replaced-file.js';
import { printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';
import { worlds } from './helpers/worlds.js';

describe.runIf(has('prlimit', 'proc')).each(worlds)(
  'without descriptors, $world',
  ({ world, options: agentOptions }) => {
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
            const where = [...phases].join(', ');
            printFigure(`EMFILE ${failures} times, ${world}, ${form}, ${way}: in ${where}`);
          }, agentOptions),
        );
      },
    );
  },
);
