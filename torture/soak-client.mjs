/**
 * Locks and counts in many files until it is told to stop: arguments are the directory, how many files, a seed and the file
 * that says stop. Its last words are how often it counted.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import {
  HoldfastError,
  lock,
  lockSync,
  tryLock,
  updateFile,
  updateFileSync,
  withLock,
} from 'holdfast';

import { randomFrom } from './random.mjs';

const [directory, files, seed, stopFile] = process.argv.slice(2);
const random = randomFrom(Number(seed));
let counted = 0;
let locked = 0;

const addOne = (contents) => `${Number(contents ?? 0) + 1}\n`;

const forms = {
  lock: async (file) => (await lock(file)).release(),
  ttl: async (file) => (await lock(file, { ttl: 60_000 })).release(),
  shared: async (file) => (await lock(file, { shared: true })).release(),
  try: async (file) => (await tryLock(file))?.release(),
  context: (file) => withLock(file, () => undefined),
  sync: (file) => lockSync(file).releaseSync(),
  abandoned: async (file) => {
    try {
      await (await lock(file, { timeout: random(3) })).release();
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'ETIMEDOUT') throw error;
    }
  },
  update: async (file) => {
    await updateFile(file, addOne, { durability: 'none' });
    counted += 1;
  },
  updateSync: (file) => {
    updateFileSync(file, addOne, { durability: 'none' });
    counted += 1;
  },
};
const names = Object.keys(forms);

function anyFile() {
  // A few are in demand.
  const number = random(4) === 0 ? random(16) : random(Number(files));
  return path.join(directory, `${number % 100}`, `${number}`);
}

process.send({ name: 'ready' });
while (!existsSync(stopFile)) {
  for (let round = 0; round < 20; round++) {
    await forms[names[random(names.length)]](anyFile());
    locked += 1;
  }
  // Without a pause nobody else would get any of two processors.
  await new Promise((resolve) => setTimeout(resolve, 1));
}
process.send({ name: 'done', counted, locked }, () => process.disconnect());
