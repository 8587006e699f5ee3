// Holds the lock on a target until a line comes; or tells whether it can be had, if `try`.
import { once } from 'node:events';
import { load } from '../candidates/index.mjs';

const { candidate, target, tries } = JSON.parse(process.argv[2]);
const { lock, unlock, tryLock } = await load(candidate);

if (tries) {
  console.log(JSON.stringify({ granted: await tryLock(target) }));
} else {
  const held = await lock(target);
  console.log('held');
  await once(process.stdin, 'data');
  await unlock(held);
  console.log(JSON.stringify({ released: Number(process.hrtime.bigint()) }));
}
process.exit();
