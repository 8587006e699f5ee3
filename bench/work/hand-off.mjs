// Takes turns with another process; tells when each turn began (the lock was had) and ended (just before its release).
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { load } from '../candidates/index.mjs';
import { awaitStart } from './start.mjs';

const { candidate, form, directory, turns, hold, spread, pause } = JSON.parse(process.argv[2]);
const { lock, unlock, lockSync, unlockSync } = await load(candidate);

const target = path.join(directory, 'target');
const now = () => Number(process.hrtime.bigint());
const times = [];

await awaitStart();
for (let turn = 0; turn < turns; turn++) {
  const held = form === 'sync' ? lockSync(target) : await lock(target);
  const began = now();
  await sleep(hold + Math.random() * spread);
  times.push([began, now()]);
  if (form === 'sync') unlockSync(held);
  else await unlock(held);
  await sleep(pause);
}
console.log(JSON.stringify({ turns: times }));
process.exit();
