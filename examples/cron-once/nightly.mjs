// A cron job that must not overlap with itself, and that says so when the last run has died in the middle:
//   5 * * * *  cd /srv/app && node nightly.mjs
// A job that is no program of yours gets the same from the command:
//   5 * * * *  cd /srv/app && npx holdfast run --nonblock nightly -- ./nightly.sh
import { setTimeout as sleep } from 'node:timers/promises';

import { inspectLock, tryLock, updateJson } from 'holdfast';

const steps = Number(process.env.STEPS ?? 5);

const held = await tryLock('nightly');
if (held === null) {
  const { holder } = await inspectLock('nightly');
  const who = holder ? `pid ${holder.pid} since ${holder.since.toISOString()}` : 'somebody';
  console.log(`the run before this one is still at work (${who}): nothing to do`);
} else {
  try {
    if (held.previousHolder) console.log(`pid ${held.previousHolder.pid} did not finish: going on`);
    await work();
  } finally {
    await held.release();
  }
}

/** Where it has come to is kept in a file, so that a run after a crash goes on there. */
async function work() {
  for (;;) {
    const { done } = await updateJson('progress.json', (progress) => ({
      done: ((progress?.done ?? 0) % steps) + 1,
    }));
    console.log(`step ${done} of ${steps}`);
    if (done === steps) return;
    await sleep(Number(process.env.STEP_MS ?? 100));
  }
}
