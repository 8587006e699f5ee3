// Locks and unlocks, uncontended, over so many targets in turn: for `span` milliseconds or `cycles` times.
import path from 'node:path';
import { load } from '../candidates/index.mjs';
import { awaitStart } from './start.mjs';

const { candidate, form, directory, files, span, cycles, wait } = JSON.parse(process.argv[2]);
const {
  lock: waitForLock,
  lockUncontended: lock = waitForLock,
  unlock,
  lockSync,
  unlockSync,
} = await load(candidate);

const targetAt = (at) => path.join(directory, `target-${(at * 7919) % files}`);

async function turnAsync(time, count) {
  let done = 0;
  const start = performance.now();
  let elapsed = 0;
  while (time > 0 ? elapsed < time : done < count) {
    await unlock(await lock(targetAt(done)));
    done++;
    elapsed = performance.now() - start;
  }
  return { count: done, nanoseconds: elapsed * 1e6 };
}

function turnSync(time, count) {
  let done = 0;
  const start = performance.now();
  let elapsed = 0;
  while (time > 0 ? elapsed < time : done < count) {
    unlockSync(lockSync(targetAt(done)));
    done++;
    elapsed = performance.now() - start;
  }
  return { count: done, nanoseconds: elapsed * 1e6 };
}

const turn = form === 'sync' ? turnSync : turnAsync;
// The first calls compile, and touch the directory for the first time.
if (span > 0) await turn(Math.min(span, 100), 0);
if (wait) await awaitStart();
console.log(JSON.stringify(await turn(span, cycles)));
process.exit();
