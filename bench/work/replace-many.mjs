// So many replaces at once, of as many files or all of one; or so many updates of one file.
import path from 'node:path';
import holdfast from '../../dist/index.js';
import { load } from '../candidates/index.mjs';

const { candidate, durability, directory, size, count, files, updates } = JSON.parse(
  process.argv[2],
);
const data = Buffer.alloc(size, 'n');
const replace = (await load(candidate)).replacer(durability);
const options = { durability: durability === 'none' ? 'none' : 'ordered' };
const once = updates
  ? (at) => holdfast.updateFile(target(at), () => data, options)
  : (at) => replace(target(at), data);
const target = (at) => path.join(directory, `target-${at % files}`);

const all = () => Promise.all(Array.from({ length: count }, (_, at) => once(at)));
await all();
const start = performance.now();
await all();
console.log(JSON.stringify({ count, nanoseconds: (performance.now() - start) * 1e6 }));
process.exit();
