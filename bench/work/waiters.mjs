// Many callers of one process wait for a lock that another one holds: what that costs, and what else goes on meanwhile.
//
// Prints "waiting" with the figures so far, then, once all have had the lock, the rest.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { load } from '../candidates/index.mjs';

const { candidate, target, file, waiters, reads, idle } = JSON.parse(process.argv[2]);
const { lock, unlock } = await load(candidate);
const readFile = promisify(fs.readFile);

async function readTime() {
  const times = [];
  for (let done = 0; done < reads; done++) {
    const start = performance.now();
    await readFile(file);
    times.push(performance.now() - start);
  }
  return times.sort((one, other) => one - other)[Math.floor(times.length / 2)];
}

function memory() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}

const threads = () =>
  Number(/^Threads:\s*(\d+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1]);

let holders = 0;
let mostHolders = 0;
async function waitOnce() {
  const held = await lock(target);
  holders++;
  mostHolders = Math.max(mostHolders, holders);
  // Whoever else has been let in meanwhile shows.
  await null;
  holders--;
  await unlock(held);
}

await readTime();
const before = await readTime();
const memoryBefore = memory();
const start = performance.now();
const all = Array.from({ length: waiters }, waitOnce);
const startMs = performance.now() - start;
// Until they have come to where they wait.
await sleep(100);
const memoryAfter = memory();
const cpuBefore = process.cpuUsage();
await sleep(idle);
const cpu = process.cpuUsage(cpuBefore);
const figures = {
  before,
  while: await readTime(),
  startMs,
  bytesEach: Math.max(0, memoryAfter.used - memoryBefore.used) / waiters,
  residentEach: Math.max(0, memoryAfter.rss - memoryBefore.rss) / waiters,
  threads: threads(),
  cpuShare: (cpu.user + cpu.system) / 1000 / idle,
};
console.log('waiting');
const released = performance.now();
await Promise.all(all);
console.log(JSON.stringify({ ...figures, drainMs: performance.now() - released, mostHolders }));
process.exit();
