// Who is compared, and with what. Each candidate is loaded only in the process that measures it.
import path from 'node:path';

/**
 * `package`: as npm knows it; none for what comes with Node. `lock` and `replace`: the forms it has. `durability`: what it
 * can be told to make sure of before it says done: nothing, the file, or the name in its directory too.
 */
export const candidates = {
  holdfast: {
    package: 'holdfast',
    lock: ['sync', 'async'],
    replace: ['sync', 'async'],
    durability: ['none', 'file', 'full'],
  },
  'node:fs': {
    replace: ['sync', 'async'],
    durability: ['none', 'file', 'full'],
  },
  'fs-ext': { package: 'fs-ext', lock: ['sync', 'async'] },
  'fs-native-extensions': { package: 'fs-native-extensions', lock: ['sync', 'async'] },
  'os-lock': { package: 'os-lock', lock: ['async'] },
  lockfile: { package: 'lockfile', lock: ['sync', 'async'], polls: true },
  'proper-lockfile': { package: 'proper-lockfile', lock: ['sync', 'async'], polls: true },
  'fs-safe': {
    package: '@openclaw/fs-safe',
    lock: ['sync', 'async'],
    polls: true,
    replace: ['sync', 'async'],
    durability: ['none', 'file', 'full'],
  },
  'write-file-atomic': {
    package: 'write-file-atomic',
    replace: ['sync', 'async'],
    durability: ['none', 'file'],
  },
  atomically: {
    package: 'atomically',
    replace: ['sync', 'async'],
    durability: ['none', 'file'],
  },
  'fast-write-atomic': {
    package: 'fast-write-atomic',
    replace: ['async'],
    durability: ['file'],
  },
  steno: { package: 'steno', replace: ['async'], durability: ['none'], coalesces: true },
  lowdb: { package: 'lowdb', replace: ['async', 'sync'], durability: ['none'], coalesces: true },
};

/** The candidates that lock in this form. */
export const lockersOf = (form) =>
  Object.keys(candidates).filter((name) => candidates[name].lock?.includes(form));

/** The candidates that replace in this form with this durability. */
export const replacersOf = (form, durability) =>
  Object.keys(candidates).filter(
    (name) =>
      candidates[name].replace?.includes(form) && candidates[name].durability.includes(durability),
  );

/** Adds a candidate: a file that exports, besides its functions, as `forms` what it has. Its path is its name. */
export async function addCandidate(file) {
  candidates[file] = (await import(file)).forms;
}

/** A candidate's functions: `lock`, `lockUncontended`, `lockSync`, `tryLock`, `replace` and `replaceSync`, as far as it has them. */
export const load = (name) =>
  import(path.isAbsolute(name) ? name : `./${name.replace(':', '-')}.mjs`);
