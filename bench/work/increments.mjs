// Increments a number in a file under a lock.
import fs from 'node:fs';
import path from 'node:path';
import { load } from '../candidates/index.mjs';
import { awaitStart } from './start.mjs';

const { candidate, form, directory, increments } = JSON.parse(process.argv[2]);
const { lock, unlock, lockSync, unlockSync } = await load(candidate);

const target = path.join(directory, 'counter');
const counter = fs.openSync(target, 'r+');
const buffer = Buffer.alloc(32);

function increment() {
  const size = fs.readSync(counter, buffer, 0, buffer.length, 0);
  fs.writeSync(counter, String(Number(buffer.toString('latin1', 0, size)) + 1), 0);
}

await awaitStart();
const start = Number(process.hrtime.bigint());
if (form === 'sync') {
  for (let done = 0; done < increments; done++) {
    const held = lockSync(target);
    increment();
    unlockSync(held);
  }
} else {
  for (let done = 0; done < increments; done++) {
    const held = await lock(target);
    increment();
    await unlock(held);
  }
}
console.log(JSON.stringify({ start, end: Number(process.hrtime.bigint()) }));
process.exit();
