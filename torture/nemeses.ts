import {
  chmodSync,
  existsSync,
  linkSync,
  renameSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Capability } from '../test/helpers/capabilities.js';
import { run } from '../test/helpers/child.js';
import type { ChildOptions } from '../test/helpers/child.js';
import { fakedClock } from '../test/helpers/faked-clock.js';
import { withSmallTmpfs } from '../test/helpers/mounts.js';
import { ordinaryUser } from '../test/helpers/ordinary-user.js';
import { descriptorCount, isStopped, until } from '../test/helpers/process-figures.js';
import { FaultNotReached, fileCalls, withFaults } from '../test/helpers/system-call-faults.js';
import { withTemporaryDirectory } from '../test/helpers/temporary-directory.js';
import type { Circumstances, HistoryEvent } from './history.js';
import { endedWell, killed } from './world.js';
import type { ClientTraits, World } from './world.js';

/** Something that goes wrong around the clients, again and again. */
export interface Nemesis {
  name: string;
  needs?: Capability[];
  /** What it makes legitimate. */
  circumstances?: Partial<Circumstances>;
  clients?: ClientTraits;
  /** How the clients are started; `aside` is a directory that the nemesis may use. */
  options?: (aside: string) => ChildOptions;
  /** Where the file lies; a directory for temporary files by default. */
  place?: <T>(use: (directory: string) => Promise<T>) => Promise<T>;
  /** Strikes once; resolves with how often that really hit. */
  strike?: (world: World) => Promise<number>;
  /** How often it hit, where only what the clients have said tells. */
  hits?: (history: readonly HistoryEvent[], world: World) => number;
}

const ttl = 300;
const oneIf = (hit: boolean): number => (hit ? 1 : 0);

/** How many operations failed with one of these codes. */
const failures =
  (...codes: string[]) =>
  (history: readonly HistoryEvent[]): number =>
    history.filter((event) => event.kind === 'failure' && codes.includes(event.code)).length;

const interruptions = (_history: readonly HistoryEvent[], world: World): number =>
  world.interrupted();

/** Does something to the lock file; it hits when somebody is in the middle of something and the lock file is there. */
function toLockFile(
  what: string,
  act: (world: World) => void | Promise<void>,
  more: Partial<Nemesis> = {},
): Nemesis {
  return {
    name: `lock file ${what}`,
    circumstances: { outsiders: true },
    strike: async (world) => {
      const busy = world.clients.some((client) => world.isBusy(client.plan.name));
      try {
        await act(world);
        return oneIf(busy);
      } catch (error) {
        // It was not there.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        return 0;
      }
    },
    ...more,
  };
}

/** Lets strace do something to the system calls of a client for a moment; it hits as often as a call was changed. */
function byTracer(name: string, faults: (world: World) => string[]): Nemesis {
  return {
    name,
    needs: ['straceAttach'],
    strike: async (world) => {
      const { child } = await world.anyClient();
      try {
        const { calls } = await withFaults(world.children, child.pid, faults(world), () =>
          sleep(200),
        );
        return calls.filter(({ injected }) => injected).length;
      } catch (error) {
        if (error instanceof FaultNotReached) return 0;
        throw error;
      }
    },
  };
}

async function limit(pid: number, resource: string): Promise<boolean> {
  return (await run('prlimit', ['--pid', `${pid}`, `--${resource}:`])).code === 0;
}

const errnos = ['EIO', 'ENOSPC', 'EACCES', 'EMFILE', 'ENOLCK', 'ESTALE', 'EINTR', 'ENOMEM'];

export const nothing: Nemesis = { name: 'nothing' };

const kill: Nemesis = {
  name: 'SIGKILL',
  strike: async (world) => {
    const client = await world.anyClient();
    client.child.kill('SIGKILL');
    await world.replaceClient(client, killed);
    return 0;
  },
  hits: interruptions,
};

export const stop: Nemesis = {
  name: 'SIGSTOP, SIGCONT',
  needs: ['signals', 'proc'],
  clients: { ttl },
  strike: async (world) => {
    // A holder, if one is found soon.
    for (let tries = 0; tries < 30; tries++) {
      const { child, plan } = await world.anyClient();
      child.kill('SIGSTOP');
      await until(() => child.process.exitCode !== null || isStopped(child.pid), 'it to stop');
      const holds = world.holdsWithTtl(plan.name);
      await sleep(holds ? world.random(4 * ttl) : 0);
      child.kill('SIGCONT');
      if (holds) return 1;
    }
    return 0;
  },
};

const terminate: Nemesis = {
  name: 'worker.terminate()',
  clients: { workers: true },
  hits: interruptions,
};

const exit: Nemesis = {
  name: 'process.exit()',
  clients: { exits: true },
  strike: async (world) => {
    await world.replaceClient(world.oldestClient(), endedWell);
    return 0;
  },
  hits: interruptions,
};

const unlink = toLockFile('unlinked', ({ lockFile }) => {
  unlinkSync(lockFile);
});

const rename = toLockFile('renamed', ({ lockFile, random }) => {
  renameSync(lockFile, `${lockFile}.${random(1000)}`);
});

const replace = toLockFile('replaced', ({ lockFile, aside }) => {
  const other = path.join(path.dirname(lockFile), `other-${path.basename(aside)}`);
  writeFileSync(other, '', { mode: 0o600 });
  renameSync(other, lockFile);
});

const linked = toLockFile(
  'linked',
  async ({ lockFile, random }) => {
    linkSync(lockFile, `${lockFile}.other`);
    await sleep(random(50));
    unlinkSync(`${lockFile}.other`);
  },
  { circumstances: {}, hits: failures('EMLINK') },
);

const chmod = toLockFile(
  'chmod-ed',
  async ({ lockFile, random }) => {
    chmodSync(lockFile, 0);
    await sleep(random(50));
    chmodSync(lockFile, 0o600);
  },
  {
    needs: ['ordinaryUser'],
    circumstances: {},
    options: () => ordinaryUser,
    hits: failures('EACCES'),
  },
);

const directory: Nemesis = {
  name: 'directory renamed',
  strike: async (world) => {
    const away = `${world.directory}-away`;
    renameSync(world.directory, away);
    try {
      await sleep(world.random(50));
    } finally {
      renameSync(away, world.directory);
    }
    return 0;
  },
  hits: failures('ENOENT'),
};

const fullDisk: Nemesis = {
  name: 'full disk',
  needs: ['mountTmpfs'],
  clients: { maxSize: 4000 },
  place: withSmallTmpfs,
  strike: async (world) => {
    const filler = path.join(world.directory, 'filler');
    const { bavail, bsize } = statfsSync(world.directory);
    try {
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
    } catch {
      // Somebody was quicker: it is full all the same.
    }
    await sleep(world.random(100));
    if (existsSync(filler)) rmSync(filler);
    return 0;
  },
  hits: failures('ENOSPC'),
};

const noDescriptors: Nemesis = {
  name: 'RLIMIT_NOFILE',
  needs: ['prlimit', 'proc'],
  strike: async (world) => {
    const { pid } = (await world.anyClient()).child;
    await limit(pid, `nofile=${descriptorCount(pid) + world.random(4) - 2}`);
    await sleep(world.random(100));
    await limit(pid, 'nofile=1024');
    return 0;
  },
  hits: failures('EMFILE'),
};

const fileSize: Nemesis = {
  name: 'RLIMIT_FSIZE',
  needs: ['prlimit'],
  strike: async (world) => {
    const { pid } = (await world.anyClient()).child;
    await limit(pid, `fsize=${world.random(20_000)}`);
    await sleep(world.random(100));
    await limit(pid, 'fsize=unlimited');
    return 0;
  },
  hits: failures('EFBIG'),
};

const clock: Nemesis = {
  name: 'wall clock set',
  needs: ['fakedClock'],
  clients: { ttl },
  circumstances: { clockSet: true },
  options: (aside) => {
    const file = path.join(aside, 'clock');
    writeFileSync(file, '+0');
    return { env: fakedClock(file) };
  },
  strike: async (world) => {
    const steps = ['+1d', '-400d', '+0', '+10s', '-10s', '+3000d'];
    const step = steps[world.random(steps.length)] ?? '+0';
    writeFileSync(path.join(world.aside, 'clock'), step);
    await sleep(50);
    return oneIf(world.clients.some((client) => world.isBusy(client.plan.name)));
  },
};

const signals = byTracer('EINTR storm', () =>
  ['openat', 'fallocate', 'pwrite64', 'pread64', 'fchmod', 'fdatasync', 'flock', 'renameat'].map(
    (name) => `${name}:error=EINTR:when=1+2`,
  ),
);

const slow = byTracer('slow file system', ({ random }) => [
  `${fileCalls.map((name) => `?${name}`).join(',')}:delay_enter=${1000 + random(20_000)}:when=1+3`,
]);

const errors = byTracer('errors of system calls', ({ random }) => {
  const errno = errnos[random(errnos.length)] ?? 'EIO';
  const names = fileCalls.filter((name) => !name.startsWith('unlink')).map((name) => `?${name}`);
  return [`${names.join(',')}:error=${errno}:when=${1 + random(20)}+${5 + random(20)}`];
});

/** Several at once. */
function together(...nemeses: Nemesis[]): Nemesis {
  const merged = (part: (nemesis: Nemesis) => object | undefined): object =>
    Object.assign({}, ...nemeses.map(part)) as object;
  const striking = nemeses.filter(({ strike }) => strike !== undefined);
  return {
    name: nemeses.map(({ name }) => name).join(' + '),
    needs: nemeses.flatMap(({ needs = [] }) => needs),
    circumstances: merged(({ circumstances }) => circumstances),
    clients: merged(({ clients }) => clients),
    options: (aside) => {
      const all = nemeses.map(({ options }) => options?.(aside) ?? {});
      return Object.assign({}, ...all) as ChildOptions;
    },
    place: nemeses.find(({ place }) => place !== undefined)?.place ?? withTemporaryDirectory,
    strike: async (world) => {
      const nemesis = striking[world.random(striking.length)];
      const hits = (await nemesis?.strike?.(world)) ?? 0;
      return nemesis?.hits ? 0 : hits;
    },
    hits: (history, world) => {
      const counts = nemeses.map(({ hits }) => hits?.(history, world) ?? 0);
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}

export const alone: Nemesis[] = [
  ...[nothing, kill, stop, terminate, exit, unlink, rename, replace, linked, chmod, directory],
  ...[fullDisk, noDescriptors, fileSize, signals, slow, errors, clock],
];

export const combined: Nemesis[] = [
  together(kill, stop),
  together(kill, unlink, stop),
  together(stop, clock, kill),
  together(fullDisk, kill),
  together(errors, kill, stop),
  together(slow, stop, replace),
  together(noDescriptors, kill, directory),
  together({ ...kill, clients: { ttl } }, signals, rename),
];
