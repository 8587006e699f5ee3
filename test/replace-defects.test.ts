import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
} from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { lock, replaceFile, tryLock, updateFile } from 'holdfast';
import type { Data } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { withAgentInDirectory } from './helpers/agent-in-directory.js';
import { within } from './helpers/bounded-wait.js';
import { has, ordinaryUser } from './helpers/capabilities.js';
import { run, runNode, withChildren } from './helpers/child.js';
import { withBindMount, withSmallExt4 } from './helpers/mounts.js';
import { fixturesDirectory } from './helpers/paths.js';
import {
  expectFile,
  leftBehind,
  makeFile,
  modeOf,
  replaceBy,
  replaceCases,
  replaceForms,
  replaceWays,
} from './helpers/replaced-file.js';
import { atScale, limitAtScale, printFigure } from './helpers/scale.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Each of these loses data, secrets or the process with one package or another that replaces files.

test.runIf(has('mountExt4'))('a full disk does not cut a file and call that success', async () => {
  await withSmallExt4(async (root) => {
    const target = await makeFile(path.join(root, 'data'), 'o'.repeat(8192));
    const size = Number((await run('stat', ['-f', '-c', '%a', root])).stdout) * 1024 + 1000;
    for (const form of replaceForms) {
      await expect(replaceBy(form, target, Buffer.alloc(size))).rejects.toMatchObject({
        code: 'ENOSPC',
      });
      await expectFile(target, { contents: 'o'.repeat(8192), mode: 0o640 });
    }
  });
});

test.each(replaceCases)(
  'every kind of bytes is written whole: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const buffer = Uint8Array.from({ length: 64 }, (_, index) => index * 3 + 1).buffer;
      const shared = new SharedArrayBuffer(64);
      new Uint8Array(shared).set(new Uint8Array(buffer));
      const views = [
        ...[Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array],
        ...[Int32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
      ];
      const whole = Buffer.from(buffer);
      const cases: [string, Data, Buffer][] = [
        ...views.map((View): [string, Data, Buffer] => [
          `part of a ${View.name}`,
          new View(buffer, 16, 2),
          whole.subarray(16, 16 + 2 * View.BYTES_PER_ELEMENT),
        ]),
        ['DataView', new DataView(buffer, 5, 17), whole.subarray(5, 22)],
        ['Buffer', whole.subarray(3, 9), whole.subarray(3, 9)],
        ['ArrayBuffer', buffer, whole],
        ['SharedArrayBuffer', shared, whole],
        ['a view on shared memory', new Uint16Array(shared, 2, 4), whole.subarray(2, 10)],
        ['string', 'ä€😀\u0000x', Buffer.from('ä€😀\u0000x')],
        ['lone surrogate', '\ud800', Buffer.from('\ufffd')],
        ['nothing', '', Buffer.alloc(0)],
        ['an empty view', new Uint8Array(0), Buffer.alloc(0)],
      ];
      for (const [what, data, contents] of cases) {
        await replaceBy(form, target, data, options);
        await expectFile(target, { contents }, what);
        if (form === 'replaceFile') {
          await replaceFile(target, [data, data], options);
          await expectFile(target, { contents: Buffer.concat([contents, contents]) }, what);
        }
      }
    });
  },
);

test.each(replaceForms)(
  'what is no data is a TypeError, and not its name in the file: %s',
  async (form) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const data of [undefined, null, 5, true, {}, Symbol.iterator, () => 'x']) {
        await expect(replaceBy(form, target, data as never)).rejects.toThrow(TypeError);
      }
      await expect(replaceFile(target, ['a', 5 as never])).rejects.toThrow(TypeError);
      await expectFile(target, { contents: 'old', mode: 0o640 });
    });
  },
);

test.each(replaceCases)(
  'options are not changed, so that one file does not lend its mode to another: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const open = await makeFile(path.join(directory, 'open'), 'old', 0o644);
      const secret = await makeFile(path.join(directory, 'secret'), 'old', 0o600);
      const shared = { ...options };
      for (const target of [open, secret, open, secret]) {
        await replaceBy(form, target, 'new', shared);
        expect(shared).toEqual(options);
      }
      await replaceBy(form, secret, 'newer', Object.freeze(shared));
      await expectFile(open, { contents: 'new', mode: 0o644 });
      await expectFile(secret, { contents: 'newer', mode: 0o600 });
    });
  },
);

test.runIf(has('symlinks'))(
  'planted links under the names of temporary files and journals are not followed',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const victim = await makeFile(path.join(directory, 'victim'), 'the victim', 0o600);
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const { dev, ino } = await stat(target);
      const names = new Set([
        ...['data.tmp', '.data.tmp', 'data~', '.data.lock', `.data.${process.pid}.tmp`],
        `.holdfast-${dev}-0-${ino}.journal`,
        ...(await namesOfTemporaries(directory)),
      ]);
      expect(names.size).toBeGreaterThan(6);
      for (const name of names) await symlink(victim, path.join(directory, name));
      for (const { options } of replaceWays) {
        for (const form of replaceForms) {
          // A planted journal is refused: nothing is known of the file then.
          await replaceBy(form, target, 'new', options).catch((error: unknown) => {
            expect(error).toMatchObject({ refused: true, targetState: 'old', published: false });
          });
          expect((await lstat(target)).isFile()).toBe(true);
          expect(['old', 'new']).toContain(await readFile(target, 'utf8'));
        }
      }
      expect(await readFile(victim, 'utf8')).toBe('the victim');
      expect(await modeOf(victim)).toBe(0o600);
      for (const name of names) expect(await readlink(path.join(directory, name))).toBe(victim);
    });
  },
);

test(
  'threads that write at once do not mix their bytes, and none of them fails',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const threads = 4;
      const writes = atScale(2000, 200);
      const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { replaceFile, replaceFileSync } = require('holdfast');
      const { directory, thread, writes } = workerData;
      (async () => {
        for (let n = 0; n < writes; n++) {
          const file = 'file-' + (n % 3);
          const data = (file + ' ' + thread + ' ').repeat(500 + n % 7);
          const options = { durability: 'none' };
          if (n % 2) replaceFileSync(directory + '/' + file, data, options);
          else await replaceFile(directory + '/' + file, data, options);
        }
        parentPort.postMessage('done');
      })();`;
      const workers = Array.from(
        { length: threads },
        (_, thread) =>
          new Worker(program, {
            eval: true,
            workerData: { directory, thread, writes },
            execArgv: [],
          }),
      );
      try {
        const state = { running: true };
        const done = Promise.all(
          workers.map(async (worker) => {
            const [message] = (await once(worker, 'message')) as [string];
            expect(message).toBe('done');
          }),
        ).finally(() => (state.running = false));
        let reads = 0;
        while (state.running) {
          for (const file of ['file-0', 'file-1', 'file-2']) {
            const text = await readFile(path.join(directory, file), 'utf8').catch(() => '');
            const unit = text.slice(0, 9);
            if (text !== '') expect(unit).toMatch(new RegExp(`^${file} [0-3] $`));
            expect(text === unit.repeat(text.length / 9)).toBe(true);
            reads++;
          }
          await sleep(0);
        }
        await done;
        expect((await readdir(directory)).sort()).toEqual(['file-0', 'file-1', 'file-2']);
        printFigure(`${threads} threads × ${writes} writes, ${reads} reads: no mixture, no error`);
      } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    });
  },
  limitAtScale(30_000),
);

test(
  'threads that are terminated in the middle do not take the process with them, and leave nothing',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const program = path.join(fixturesDirectory, 'terminate-replacing-workers.cjs');
      const rounds = atScale(500, 20);
      const { code, signal, stderr } = await runNode([program, target, String(rounds)], {
        timeout: limitAtScale(20_000),
      });
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
      await expectFile(target, { contents: 'whole' });
      expect(await readdir(directory)).toEqual(['data']);
    });
  },
  limitAtScale(30_000),
);

test.runIf(has('modes')).each(replaceCases)(
  'the directory of the file keeps its mode: $form, $way',
  async ({ form, options }) => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      for (const mode of [0o755, 0o1777]) {
        await chmod(directory, mode);
        await replaceBy(form, target, 'new', { ...options, recursive: true, dirMode: 0o700 });
        expect(await modeOf(directory)).toBe(mode);
      }
    });
  },
);

describe.runIf(has('ordinaryUser'))('an ordinary user', () => {
  test("writes in somebody else's directory that is open to all", async () => {
    await withAgentInDirectory(ordinaryUser, async (directory, agent) => {
      const parent = path.join(directory, 'parent');
      await mkdir(parent);
      await chmod(parent, 0o777);
      for (const form of replaceForms) {
        await agent[form](path.join(parent, 'data'), form, { mode: 0o600, dirMode: 0o700 });
        await expectFile(path.join(parent, 'data'), { contents: form, mode: 0o600 });
      }
      expect(await modeOf(parent)).toBe(0o777);
    });
  });

  test('makes directories under umask 0777 that can be used', async () => {
    await withAgentInDirectory(ordinaryUser, async (directory, agent) => {
      await agent.umask(0o777);
      for (const form of replaceForms) {
        const parent = path.join(directory, form);
        const target = path.join(parent, 'deep', 'data');
        const options = { recursive: true, dirMode: 0o700, mode: 0o600 };
        await agent[form](target, 'first', options);
        await agent[form](target, 'second', options);
        await expectFile(target, { contents: 'second', mode: 0o600 });
        expect(await modeOf(parent)).toBe(0o700);
      }
    });
  });
});

test.runIf(has('bindMount'))('a single file that is mounted is replaced in place', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = await makeFile(path.join(directory, 'data'), 'covered');
    const source = await makeFile(path.join(directory, 'source'), 'old', 0o600);
    await withBindMount(source, target, async () => {
      for (const form of replaceForms) {
        expect(await replaceBy(form, target, form)).toMatchObject({ method: 'copy', attempts: 1 });
        await expectFile(target, { contents: form, mode: 0o600 });
      }
    });
  });
});

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'processes that are ended by %s leave nothing, at the latest after the next use',
  async (signal) => {
    await withTemporaryDirectory(async (directory) => {
      const target = path.join(directory, 'data');
      const kills = atScale(400, signal === 'SIGKILL' ? 40 : 5);
      let left = 0;
      const program = `
        const { replaceFileSync } = require('holdfast');
        for (let n = 0; ; n++) {
          replaceFileSync(process.argv[1], 'x'.repeat(100000 + n));
          if (n === 0) process.stdout.write('ready');
        }`;
      await withChildren(async (children) => {
        for (let n = 0; n < kills; n++) {
          const child = children.spawnNode(['-e', program, target]);
          await child.waitForOutput(/ready/);
          await sleep(n % 10);
          child.kill(signal);
          expect(await child.waitForExit()).toEqual({ code: null, signal });
          left += (await leftBehind(directory)).length > 0 ? 1 : 0;
          expect(await readFile(target, 'utf8')).toMatch(/^x{100000,}$/);
        }
      });
      await replaceFile(target, 'whole');
      await expectFile(target, { contents: 'whole' });
      expect(await readdir(directory)).toEqual(['data']);
      printFigure(`${kills} × ${signal}: ${left} left a name behind, 0 after the next use`);
    });
  },
  limitAtScale(30_000),
);

describe('a stream whose source fails', () => {
  test('rejects at once, leaves nothing, and does not stand in the way of the next write', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const failure = new Error('the source failed');
      const sources = {
        generator: async function* () {
          yield 'some';
          await sleep(1);
          throw failure;
        },
        readable: () => {
          const stream = new PassThrough();
          stream.write('some');
          setTimeout(() => stream.destroy(failure), 5);
          return stream;
        },
        'readable that has failed': () => new Readable().destroy(failure),
      };
      for (const [name, source] of Object.entries(sources)) {
        for (const { options } of replaceWays) {
          await expect(within(replaceFile(target, source(), options), `a ${name}`)).rejects.toBe(
            failure,
          );
          await expectFile(target, { contents: 'old', mode: 0o640 });
        }
      }
      await replaceFile(target, 'new');
      await expectFile(target, { contents: 'new', mode: 0o640 });
    });
  });

  test('before anything was read of it does not end the process', async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const sha256 = 'b'.repeat(64);
      const held = await lock(target);
      // Its error comes while the lock is waited for.
      const replaced = replaceFile(target, createReadStream(path.join(directory, 'absent')), {
        ifMatch: { sha256 },
      });
      await sleep(20);
      await held.release();
      await expect(replaced).rejects.toMatchObject({
        code: expect.stringMatching(/ENOENT|ECONFLICT/) as string,
      });
      for (let n = 0; n < 20; n++) {
        await expect(
          replaceFile(target, createReadStream(path.join(directory, 'absent'))),
        ).rejects.toMatchObject({ code: 'ENOENT' });
      }
      await expectFile(target, { contents: 'old', mode: 0o640 });
    });
  });
});

test.each(replaceForms)('a long name is written exactly, or refused: %s', async (form) => {
  await withTemporaryDirectory(async (directory) => {
    for (const name of ['n'.repeat(255), 'ä'.repeat(127)]) {
      const target = path.join(directory, name);
      for (const { options } of replaceWays) {
        for (const contents of ['first', 'second']) {
          await replaceBy(form, target, contents, options);
          await expectFile(target, { contents }, name);
        }
      }
    }
    expect(await readdir(directory)).toHaveLength(2);
    for (const name of ['n'.repeat(256), 'ä'.repeat(128), 'n'.repeat(300)]) {
      await expect(replaceBy(form, path.join(directory, name), 'new')).rejects.toMatchObject({
        code: 'ENAMETOOLONG',
        targetState: 'old',
      });
    }
    expect(await readdir(directory)).toHaveLength(2);
  });
});

describe('what hangs on a file besides its bytes', () => {
  test.runIf(has('ordinaryUser'))('the owner is kept if asked', async () => {
    await withTemporaryDirectory(async (directory) => {
      for (const { way, options } of replaceWays) {
        for (const form of replaceForms) {
          const target = await makeFile(path.join(directory, `${form}-${way}`), 'old', 0o600);
          await chown(target, ordinaryUser.uid, ordinaryUser.gid);
          const result = await replaceBy(form, target, 'new', {
            ...options,
            keep: ['mode', 'owner'],
          });
          expect(result.kept).toEqual(expect.arrayContaining(['mode', 'owner']));
          expect(await stat(target)).toMatchObject(ordinaryUser);
          await expectFile(target, { contents: 'new', mode: 0o600 });
        }
      }
    });
  });

  const attributes = `
import os, sys
file = sys.argv[1]
if len(sys.argv) > 2:
    os.setxattr(file, 'user.colour', b'blue')
    os.setxattr(file, 'user.empty', b'')
    os.setxattr(file, 'system.posix_acl_access', bytes.fromhex(sys.argv[2]))
print({name: os.getxattr(file, name).hex() for name in sorted(os.listxattr(file))})`;
  // user::rw-, user:65534:r--, group::---, mask::r--, other::---
  const entries = ['01000600ffffffff', '02000400feff0000', '04000000ffffffff'];
  const accessList = ['02000000', ...entries, '10000400ffffffff', '20000000ffffffff'].join('');

  test.runIf(has('extendedAttributes'))(
    'extended attributes and access control lists are kept if asked, and told of only then',
    async () => {
      await withTemporaryDirectory(async (directory) => {
        for (const { way, options } of replaceWays) {
          for (const form of replaceForms) {
            const target = await makeFile(path.join(directory, `${form}-${way}`), 'old', 0o640);
            const before = (await run('python3', ['-c', attributes, target, accessList])).stdout;
            expect(before).toContain('user.colour');
            expect(before).toContain('posix_acl_access');
            const mode = await modeOf(target);
            const result = await replaceBy(form, target, 'new', {
              ...options,
              keep: ['mode', 'xattr', 'acl'],
            });
            expect(result.kept).toEqual(expect.arrayContaining(['mode', 'xattr', 'acl']));
            expect((await run('python3', ['-c', attributes, target])).stdout).toBe(before);
            await expectFile(target, { contents: 'new', mode });

            if (way === 'copy') continue;
            expect((await replaceBy(form, target, 'bare')).kept).toEqual(['mode']);
            expect((await run('python3', ['-c', attributes, target])).stdout).toBe('{}\n');
          }
        }
      });
    },
  );
});

test.runIf(has('symlinks'))(
  'a link is neither replaced nor followed, and a second name not split off, unless that is asked for',
  async () => {
    await withTemporaryDirectory(async (directory) => {
      const target = await makeFile(path.join(directory, 'data'), 'old');
      const dangling = path.join(directory, 'dangling');
      const hardLink = path.join(directory, 'twin');
      await symlink('absent', dangling);
      await link(target, hardLink);
      for (const form of replaceForms) {
        await expect(replaceBy(form, dangling, 'new')).rejects.toMatchObject({ code: 'ELOOP' });
        await expect(replaceBy(form, target, 'new')).rejects.toMatchObject({ code: 'EMLINK' });
      }
      expect(await readlink(dangling)).toBe('absent');
      expect((await stat(target)).ino).toBe((await stat(hardLink)).ino);
      await replaceFile(dangling, 'made', { links: 'follow' });
      expect(await readlink(dangling)).toBe('absent');
      await expectFile(path.join(directory, 'absent'), { contents: 'made' });
    });
  },
);

test('a lock stays on the path when the file under it is replaced', async () => {
  await withTemporaryDirectory(async (directory) => {
    const target = await makeFile(path.join(directory, 'data'), 'old');
    const held = await lock(target);
    for (const { options } of replaceWays) {
      for (const form of replaceForms) {
        await replaceBy(form, target, 'new', { ...options, lock: held });
        expect(await tryLock(target)).toBeNull();
        held.verify();
      }
    }
    let updated = false;
    const update = updateFile(target, () => {
      updated = true;
      return 'updated';
    });
    await sleep(20);
    expect(updated).toBe(false);
    await held.release();
    expect(String(await update)).toBe('updated');
    await expect(replaceFile(target, 'late', { lock: held })).rejects.toMatchObject({
      code: 'ECOMPROMISED',
    });
    await expectFile(target, { contents: 'updated', mode: 0o640 });
  });
});

/** The names under which temporary files have been seen: that of a process that was stopped before its rename. */
async function namesOfTemporaries(directory: string): Promise<string[]> {
  const place = path.join(directory, 'seen');
  await mkdir(place);
  if (!has('strace')) return [];
  const program = `require('holdfast').replaceFileSync(process.argv[1], 'new')`;
  const target = path.join(place, 'data');
  const prefix = ['strace', '-f', '-o', '/dev/null', '-e', 'inject=renameat:signal=KILL'];
  const exit = await run('strace', [
    ...prefix.slice(1),
    ...[process.execPath, '-e', program, target],
  ]);
  expect(exit.signal).toBe('SIGKILL');
  return readdir(place);
}
