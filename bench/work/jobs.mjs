// So many callers append lines to one job, each waiting for one line before the next.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { load } from '../candidates/index.mjs';
import holdfast from '../../dist/index.js';

const { candidate, directory, durability, callers, span } = JSON.parse(process.argv[2]);
const line = 'page 12 of 100 was rendered in 345 ms, with 6 warnings';

/** How to append a line, and how many are there, on the disk, in the end. */
async function appender() {
  if (candidate === 'holdfast') {
    const store = new holdfast.JobStore(directory, {
      durability: durability === 'none' ? 'none' : 'ordered',
    });
    return {
      append: () => store.appendLog('a', line),
      count: async () => (await store.read('a')).logs.length,
    };
  }
  if (candidate === 'lowdb') {
    const { JSONFilePreset } = await import('lowdb/node');
    const file = path.join(directory, 'jobs.json');
    const db = await JSONFilePreset(file, { a: { logs: [] } });
    return {
      append: () => {
        db.data.a.logs.push(line);
        return db.write();
      },
      count: () => JSON.parse(readFileSync(file, 'utf8')).a.logs.length,
    };
  }
  // A file of one line. Nothing that calls it once for every line can be faster.
  const replace = (await load(candidate)).replacer(durability);
  const file = path.join(directory, 'line');
  let calls = 0;
  const data = Buffer.from(line);
  return {
    append: async () => {
      await replace(file, data);
      calls++;
    },
    count: () => calls,
  };
}

const { append, count } = await appender();
await append();
let calls = 1;
const start = performance.now();
await Promise.all(
  Array.from({ length: callers }, async () => {
    do {
      await append();
      calls++;
    } while (performance.now() - start < span);
  }),
);
const nanoseconds = (performance.now() - start) * 1e6;
const found = await count();
if (found !== calls) throw new Error(`${calls} calls, and ${found} lines are there`);
console.log(JSON.stringify({ count: calls - 1, nanoseconds }));
process.exit();
