/**
 * Ways in which holdfast could be wrong, so that it can be shown that the checker would find it: each wraps what the client
 * uses, and does the wrong thing now and then.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

const faults = {
  /** A lock that is sometimes nobody's. */
  'no-op lock': ({ lock, replaceFile }, random) => ({
    lock: async (target, options) => {
      if (random(10) > 0) return lock(target, options);
      return {
        token: null,
        replaceFile: (data) => replaceFile(target, data),
        verify: () => undefined,
        release: () => Promise.resolve(),
      };
    },
  }),

  /** A replace that truncates the file and then fills it. */
  'truncating replace': ({ lock }, random) => ({
    lock: async (target, options) => {
      const held = await lock(target, options);
      if (random(3) > 0) return held;
      return withReplace(held, async (data) => {
        writeFileSync(target, data.subarray(0, data.length / 2));
        await new Promise((resolve) => setTimeout(resolve, 5));
        writeFileSync(target, data);
      });
    },
  }),

  /** A replace that says it is done and is not. */
  'lost update': ({ updateFile }, random) => ({
    updateFile: async (target, change, options) => {
      if (random(10) > 0) return updateFile(target, change, options);
      change(readFileSync(target));
      return null;
    },
  }),

  /** A holder that does not look whether the lock is still its own before it writes. */
  'stale write after loss': ({ lock, readRegularFile }) => ({
    lock: async (target, options) => {
      const held = await lock(target, options);
      return withReplace(held, (data) => {
        writeFileSync(`${target}.stale-${held.token}`, data);
        renameSync(`${target}.stale-${held.token}`, target);
        return Promise.resolve();
      });
    },
    readRegularFile: async (target) => {
      // Between its grant and its write, so that most who are stopped are stopped here.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return readRegularFile(target);
    },
  }),

  /** A release that does not wait for what was begun under the lock, which nothing stops. */
  'late write of an ended lock': ({ lock }) => ({
    lock: async (target, options) => {
      const held = await lock(target, options);
      return withReplace(held, async (data) => {
        const late = `${target}.late-${held.token}`;
        writeFileSync(late, data);
        await new Promise((resolve) => setTimeout(resolve, 30));
        renameSync(late, target);
      });
    },
  }),

  /** Replaces of one thread that are published in any order. */
  'calls that overtake': ({ replaceFile }, random) => ({
    replaceFile: async (...request) => {
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      return replaceFile(...request);
    },
  }),

  /** An update that resolves with what is there, whoever has made that. */
  "another call's result": ({ updateJson }) => ({
    updateJson: async (target, ...request) => {
      await updateJson(target, ...request);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return JSON.parse(readFileSync(target, 'utf8'));
    },
  }),
};

const withReplace = (held, replaceFile) => ({
  token: held.token,
  replaceFile,
  verify: () => held.verify(),
  release: () => held.release(),
});

/** What the client is to use: holdfast, or one with the fault of that name. */
export function withFault(name, holdfast, random) {
  return name === undefined ? holdfast : { ...holdfast, ...faults[name](holdfast, random) };
}
