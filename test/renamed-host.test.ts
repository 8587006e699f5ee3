import path from 'node:path';

import { tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { runNode } from './helpers/child.js';
import { commandFile } from './helpers/command-line.js';
import { withLockAgents } from './helpers/lock-agents.js';
import { projectDirectory } from './helpers/paths.js';
import { copyNode } from './helpers/renamed-node.js';
import { temporaryFilesIn, withTemporaryDirectory } from './helpers/temporary-directory.js';

// On Windows an addon names the program that its functions come from. The one that loads it is Electron, or whatever
// somebody has called it, and to load a second Node beside it would be the end of both.
describe.runIf(has('renamedNode'))('in a program that is Node under another name', () => {
  test('the addon is loaded, and no second Node with it', async () => {
    await withTemporaryDirectory(async (directory) => {
      const execPath = copyNode(directory);
      const program = `
        const { lockSync } = require('holdfast');
        const { Worker } = require('node:worker_threads');
        const held = lockSync(process.argv[1]);
        const inWorker = "require('holdfast').tryLockSync(process.argv[2])?.releaseSync()";
        new Worker(inWorker, { eval: true, argv: [process.argv[1]] }).on('exit', (code) => {
          held.releaseSync();
          const { sharedObjects } = process.report.getReport();
          console.log(JSON.stringify({ execPath: process.execPath, code, sharedObjects }));
        });`;
      const target = path.join(directory, 'file');
      const child = await runNode(['-e', program, target], { execPath, cwd: projectDirectory });
      expect(child).toMatchObject({ code: 0, signal: null, stderr: '' });
      const told = JSON.parse(child.stdout) as { execPath: string; sharedObjects: string[] };
      expect(told).toMatchObject({ execPath, code: 0 });
      const loaded = told.sharedObjects.map((file) => path.basename(file).toLowerCase());
      // Prebuilt ones name their C library.
      expect(loaded).toContainEqual(expect.stringMatching(/^holdfast(\.\w+)?\.node$/));
      expect(loaded).not.toContain('node.exe');
    });
  });

  test('it excludes processes of Node, and is excluded by them', async () => {
    await withTemporaryDirectory(async (directory) =>
      withLockAgents(async (agents) => {
        const target = path.join(directory, 'file');
        const agent = await agents.process({ execPath: copyNode(directory) });
        const theirs = await agent.lock(target);
        expect(await tryLock(target)).toBeNull();
        await theirs.release();
        const ours = await tryLock(target);
        expect(await agent.tryLockSync(target)).toBeNull();
        await ours?.release();
        await (await agent.lockSync(target)).release();
      }),
    );
  });

  test('the demo passes', async () => {
    await withTemporaryDirectory(async (directory) => {
      const args = ['demo', '--processes', '3', '--rounds', '20'];
      const demo = await runNode([commandFile, ...args], {
        execPath: copyNode(directory),
        env: temporaryFilesIn(directory),
      });
      expect(demo).toMatchObject({ code: 0, signal: null, stderr: '' });
      expect(demo.stdout).toContain('Nothing was lost');
    });
  });
});
