import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child } from './helpers/child.js';
import { electronProgram, withExample } from './helpers/examples.js';
import { electronExample, fixturesDirectory } from './helpers/paths.js';
import { copyNode } from './helpers/renamed-node.js';

interface Settings {
  starts: number;
  bounds?: { width: number; height: number };
}

function settingsIn(userData: string): Settings {
  return JSON.parse(readFileSync(path.join(userData, 'settings.json'), 'utf8')) as Settings;
}

// The files of the example, in a program that is Node under another name, as Electron's is. Of Electron's own interface
// there is what the example uses.
describe.runIf(has('renamedNode'))('the main process of examples/electron', () => {
  test('has its profile for itself, and keeps its settings through an orderly end and a kill', () =>
    withExample('electron', (directory) =>
      withChildren(async (children) => {
        const electron = path.join(directory, 'node_modules', 'electron');
        mkdirSync(electron);
        cpSync(
          path.join(fixturesDirectory, 'electron-stand-in.cjs'),
          path.join(electron, 'index.js'),
        );
        const userData = path.join(directory, 'user data');
        const execPath = copyNode(directory);
        const start = (): Child =>
          children.fork(path.join(directory, 'main.cjs'), {
            execPath,
            env: { USER_DATA: userData },
          });

        const first = start();
        await first.waitForOutput(/^start 1 on .*user data\n/);
        const second = start();
        expect(await second.waitForExit()).toEqual({ code: 0, signal: null });
        expect(second.stdout).toMatch(new RegExp(`user data is in use by pid ${first.pid}\n$`));

        first.send('resize', { bounds: { width: 1024, height: 768 } });
        first.send('quit');
        expect(await first.waitForExit()).toEqual({ code: 0, signal: null });
        expect(first.stdout).toMatch(/closed\n$/);
        expect(settingsIn(userData)).toMatchObject({
          starts: 1,
          bounds: { width: 1024, height: 768 },
        });

        const third = start();
        await third.waitForOutput(/^start 2 on /);
        third.kill('SIGKILL');
        expect((await third.waitForExit()).code === 0).toBe(false);
        const fourth = start();
        await fourth.waitForOutput(/^the app did not end as it should the last time\nstart 3 on /);
        fourth.send('quit');
        expect(await fourth.waitForExit()).toEqual({ code: 0, signal: null });
        expect(settingsIn(userData)).toMatchObject({ starts: 3, bounds: { width: 1024 } });
        for (const child of [first, second, third, fourth]) expect(child.stderr).toBe('');
      }),
    ));
});

// Electron itself, where `npm ci --prefix examples/electron` could get it, on a display of its own.
test.runIf(has('electron'))('examples/electron starts in Electron', () =>
  withChildren(async (children) => {
    await withExample('electron', async (directory) => {
      const userData = path.join(directory, 'user data');
      const electron = children.spawn('xvfb-run', [
        ...['--auto-servernum', electronProgram(electronExample)],
        ...['--no-sandbox', `--user-data-dir=${userData}`, directory],
      ]);
      await electron.waitForOutput(/^start 1 on /m);
      expect(existsSync(path.join(userData, 'settings.json'))).toBe(true);
    });
  }),
);
