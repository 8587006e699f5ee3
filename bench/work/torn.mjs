// Replaces a file by as many bytes of another letter, again and again, while a second thread reads it: has that ever seen
// a part of one and a part of another, or nothing?
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { load } from '../candidates/index.mjs';

if (isMainThread) {
  const { candidate, form, durability, directory, size, count } = JSON.parse(process.argv[2]);
  const { replacer, replacerSync } = await load(candidate);
  const replace = (form === 'sync' ? replacerSync : replacer)(durability);
  const file = path.join(directory, 'torn');
  await replace(file, Buffer.alloc(size, 'a'));
  const reader = new Worker(new URL(import.meta.url), { workerData: { file, size } });
  await new Promise((resolve) => reader.once('message', resolve));
  let last;
  for (let at = 0; at < count; at++) {
    last = String.fromCharCode(97 + (at % 26));
    await replace(file, Buffer.alloc(size, last));
  }
  const found = new Promise((resolve) => reader.once('message', resolve));
  reader.postMessage('enough');
  const { reads, torn } = await found;
  const now = readFileSync(file, 'latin1');
  console.log(JSON.stringify({ reads, torn, whole: now === last.repeat(size) }));
  process.exit();
} else {
  const { file, size } = workerData;
  let reads = 0;
  let torn = 0;
  let enough = false;
  parentPort.on('message', () => (enough = true));
  const look = () => {
    if (enough) {
      parentPort.postMessage({ reads, torn });
      return;
    }
    const contents = readFileSync(file);
    reads++;
    if (contents.length !== size || contents.some((byte) => byte !== contents[0])) torn++;
    setImmediate(look);
  };
  parentPort.postMessage('reading');
  look();
}
