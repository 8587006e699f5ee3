// Replaces one file of each size: for `span` milliseconds each (`most` times at the most), or `count` times.
import path from 'node:path';
import { load } from '../candidates/index.mjs';

const { candidate, form, durability, directory, sizes, span, most, count } = JSON.parse(
  process.argv[2],
);
const { replacer, replacerSync } = await load(candidate);

const results = {};
for (const size of sizes) {
  const data = Buffer.alloc(size, 'n');
  const file = path.join(directory, 'target-0');
  const replace = (form === 'sync' ? replacerSync : replacer)(durability);
  const turn = async (time, limit) => {
    let done = 0;
    let longest = 0;
    let elapsed = 0;
    const start = performance.now();
    while (done < limit && (time === 0 || elapsed < time)) {
      if (form === 'sync') replace(file, data);
      else await replace(file, data);
      done++;
      const now = performance.now() - start;
      longest = Math.max(longest, now - elapsed);
      elapsed = now;
    }
    return { count: done, nanoseconds: elapsed * 1e6, longest: longest * 1e6 };
  };
  // The first calls compile; with a large file they hardly matter.
  if (span > 0 && size <= 65_536) await turn(span / 2, most);
  results[size] = await turn(span, span > 0 ? most : count);
}
console.log(JSON.stringify(results));
process.exit();
