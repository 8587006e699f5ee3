#!/usr/bin/env node
// Prints the prime factors of a number, and keeps them: node factor.mjs 1000000016000000063
// However many of these start at once, one computes, and the others get what it has found.
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

import { readRegularFile, replaceFile, safeFileName, withLock } from 'holdfast';

const [number = ''] = process.argv.slice(2);
if (!/^[1-9]\d*$/.test(number)) {
  console.error('usage: factor.mjs NUMBER');
  process.exit(64);
}
const directory = process.env.FACTORS_DIRECTORY ?? path.join(homedir(), '.cache', 'factors');
await mkdir(directory, { recursive: true, mode: 0o700 }).catch(goOnWithout);
const file = path.join(directory, `${safeFileName(number)}.json`);

// Most runs end here: whoever only reads needs no lock, since a file is old or new and never half of either.
const factors =
  (await readCache()) ??
  (await withLock(
    file,
    { failOpen: true, onWait: ({ message }) => console.error(message) },
    findOnce,
  ));
console.log(`${number} = ${factors.join(' x ')}`);

/** Under the lock the cache is read again: somebody may have filled it while we waited. */
async function findOnce() {
  const found = await readCache();
  if (found !== null) return found;
  console.error('computing');
  const factors = factorize(BigInt(number));
  await replaceFile(file, JSON.stringify(factors)).catch(goOnWithout);
  return factors;
}

async function readCache() {
  const read = await readRegularFile(file).catch(goOnWithout);
  return read ? JSON.parse(read.contents.toString('utf8')) : null;
}

/** The cache saves time. That it cannot be written or read is worth a word, and no reason to fail. */
function goOnWithout(error) {
  console.error(`without the cache: ${error.message}`);
  return null;
}

function factorize(number) {
  const factors = [];
  let rest = number;
  for (let factor = 2n; factor * factor <= rest; factor += factor === 2n ? 1n : 2n) {
    for (; rest % factor === 0n; rest /= factor) factors.push(String(factor));
  }
  return rest > 1n || factors.length === 0 ? [...factors, String(rest)] : factors;
}
