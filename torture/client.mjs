/**
 * Locks, reads and replaces a file again and again, and writes down what it did and when: one line of JSON for each event of
 * torture/history.ts, written before the next step, so that whatever ends the process cannot take it back. Its one
 * argument, or its workerData, is a ClientPlan of torture/world.ts. It goes on until it is told to stop.
 */
import { existsSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import process from 'node:process';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { Worker, isMainThread, parentPort, threadId, workerData } from 'node:worker_threads';

import * as holdfast from 'holdfast';

import numbered from '../test/fixtures/numbered-contents.cjs';
import { randomFrom } from './random.mjs';
import { withFault } from './seeded-faults.mjs';

const { contentsOf, numberOf } = numbered;

const plan = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const { target, seed, ttl, maxSize, stopFile } = plan;
const random = randomFrom(seed);
const { lock, withLock, tryLock, updateFile, updateFileSync, updateJson, ...others } = withFault(
  plan.fault,
  holdfast,
  random,
);
const { replaceFile, replaceFileSync } = others;

/** The file is there unless its directory was renamed. */
async function readRegularFile(file) {
  const found = await others.readRegularFile(file);
  if (found === null) throw Object.assign(new Error(`'${file}' is absent`), { code: 'ENOENT' });
  return found;
}

const instance = `${plan.name}${isMainThread ? '' : `/${threadId}`}`;
const log = openSync(`${plan.logs}/${instance.replace('/', '-')}.log`, 'a', 0o666);
let unwritten = '';
const now = () => process.hrtime.bigint();

function tell(kind, fields = {}, at = now()) {
  const event = { at, process: instance, kind, ...fields };
  const line = JSON.stringify(event, (_key, value) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );
  unwritten += `${line}\n`;
  try {
    unwritten = unwritten.slice(writeSync(log, unwritten));
  } catch (error) {
    // Under a limit on the size of files it is kept until that is lifted.
    if (error.code !== 'EFBIG') throw error;
  }
}

let holds = 0;
let writes = 0;
const nextVersion = () => plan.versions + (isMainThread ? 0 : threadId * 1_000_000) + ++writes;
const contents = (version) => contentsOf(version, 32 + random(maxSize - 32));
const read = (bytes) => numberOf(bytes) ?? null;

/** A lock is ours until `end`: what was written under it, and whether somebody took it away. */
function hold(fields) {
  const number = ++holds;
  const granted = now();
  tell('grant', { target, hold: number, ttl: 0, shared: false, token: null, ...fields }, granted);
  return {
    number,
    /** At that time it was ours still; without one nobody can tell, and it counts for nothing. */
    released: (at = granted) => tell('release', { hold: number }, at),
    lost: () => tell('lost', { hold: number }),
  };
}

function fail(error) {
  if (typeof error.code !== 'string') throw error;
  tell('failure', { code: error.code, syscall: error.syscall });
}

/** What a failed write has left, as its error says. */
function failedWrite(version, error) {
  if (error.code === 'ECOMPROMISED' || error.code === 'ECONFLICT') tell('refused', { version });
  else if (error.targetState === 'old' || error.targetState === 'restored') {
    tell('refused', { version });
  }
}

/** The parts of an update, of whichever form: what its function does, and what its end says of that. */
function updating(fields) {
  let held;
  let inside;
  let version;
  return {
    change: (current) => {
      held?.released(inside);
      held = hold(fields);
      const began = now();
      const after = read(current);
      tell('read', { target, began, hold: held.number, version: after });
      version = nextVersion();
      tell('write', { target, hold: held.number, version, after });
      inside = now();
      return contents(version);
    },
    done: () => {
      tell('written', { version });
      held.released(inside);
    },
    failed: (error) => {
      if (held === undefined) return;
      failedWrite(version, error);
      if (error.code === 'ECOMPROMISED') held.lost();
      else held.released();
    },
  };
}

/** Reads and replaces under a lock that is held, and makes sure that it was held until then. */
async function replaceUnder(held, mine) {
  let released;
  try {
    const began = now();
    const file = await readRegularFile(target);
    const after = read(file.contents);
    tell('read', { target, began, hold: mine.number, version: after });
    if (random(4) === 0) await sleep(random(20));
    const version = nextVersion();
    tell('write', { target, hold: mine.number, version, after });
    try {
      await held.replaceFile(contents(version), { ifMatch: { identity: file.identity } });
      tell('written', { version });
    } catch (error) {
      failedWrite(version, error);
      throw error;
    }
    const at = now();
    held.verify();
    released = at;
  } catch (error) {
    if (error.code === 'ECOMPROMISED') {
      mine.lost();
      mine.lost = mine.released = () => undefined;
    }
    throw error;
  } finally {
    mine.released(released);
  }
}

/** Begins to replace under a lock that is held, and does not wait for it. Resolves to that, begun, and never rejects. */
async function beginUnder(held, mine) {
  const began = now();
  const file = await readRegularFile(target);
  const after = read(file.contents);
  tell('read', { target, began, hold: mine.number, version: after });
  const version = nextVersion();
  tell('write', { target, hold: mine.number, version, after });
  const replaced = held.replaceFile(contents(version)).then(
    () => tell('written', { version }),
    (error) => failedWrite(version, error),
  );
  const at = now();
  try {
    held.verify();
    mine.released(at);
  } catch (error) {
    if (error.code === 'ECOMPROMISED') mine.lost();
    else mine.released();
  }
  return { replaced };
}

/** A replace of this thread's own file: what it tells of its beginning, and of its end, in either form. */
const ownFile = `${target}.${instance.replace('/', '-')}`;
function beginCall() {
  const version = nextVersion();
  tell('call', { target: ownFile, version });
  return {
    version,
    done: () => tell('written', { version }),
    failed: (error) => {
      failedWrite(version, error);
      fail(error);
    },
  };
}

const patience = { timeout: 3000 };
const withTtl = () => (ttl > 0 ? { ttl } : {});

const operations = {
  update: async () => {
    const parts = updating({ ttl });
    try {
      await updateFile(target, parts.change, { ...patience, ...withTtl() });
      parts.done();
    } catch (error) {
      parts.failed(error);
      throw error;
    }
  },
  updateSync: () => {
    const parts = updating({ ttl: 0 });
    try {
      updateFileSync(target, parts.change, patience);
      parts.done();
    } catch (error) {
      parts.failed(error);
      throw error;
    }
  },
  replace: async () => {
    const held = await lock(target, { ...patience, ...withTtl() });
    try {
      await replaceUnder(held, hold({ ttl, token: held.token }));
    } finally {
      await held.release();
    }
  },
  try: async () => {
    const held = await tryLock(target);
    if (held === null) {
      tell('failure', { code: 'EBUSY' });
      return;
    }
    try {
      await replaceUnder(held, hold({ token: held.token }));
    } finally {
      await held.release();
    }
  },
  context: () =>
    withLock(target, { ...patience, ...withTtl() }, (held) =>
      replaceUnder(held, hold({ ttl, token: held.token })),
    ),
  shared: async () => {
    const held = await lock(target, { ...patience, shared: true });
    const mine = hold({ shared: true });
    let released;
    try {
      const began = now();
      const file = await readRegularFile(target);
      tell('read', { target, began, hold: mine.number, version: read(file.contents) });
      const at = now();
      held.verify();
      released = at;
    } catch (error) {
      if (error.code === 'ECOMPROMISED') {
        mine.lost();
        mine.released = () => undefined;
      }
      throw error;
    } finally {
      mine.released(released);
      await held.release();
    }
  },
  /** Releases while a write under the lock is on its way. */
  unawaited: async () => {
    const held = await lock(target, { ...patience, ...withTtl() });
    const mine = hold({ ttl, token: held.token });
    let begun;
    try {
      begun = await beginUnder(held, mine);
    } catch (error) {
      mine.released();
      throw error;
    } finally {
      await held.release();
      // What was told before the release is told in this turn.
      await turn();
      tell('ended', { hold: mine.number });
      await begun?.replaced;
    }
  },
  /** Many replaces of one file at once, and sometimes one that waits for nothing, as a program that is about to end makes it. */
  burst: async () => {
    const durability = 'none';
    const calls = Array.from({ length: 2 + random(6) }, () => {
      const { version, done, failed } = beginCall();
      return replaceFile(ownFile, contents(version), { durability }).then(done, failed);
    });
    if (random(3) === 0) {
      const { version, done, failed } = beginCall();
      try {
        replaceFileSync(ownFile, contents(version), { durability });
        done();
      } catch (error) {
        failed(error);
      }
    }
    await Promise.all(calls);
    const began = now();
    const file = await readRegularFile(ownFile);
    if (file !== null) {
      tell('read', { target: ownFile, began, hold: null, version: read(file.contents) });
    }
    rmSync(ownFile, { force: true });
  },
  /** Many updates of one file at once, each of which is told what it made. */
  results: async () => {
    const update = async () => {
      const made = nextVersion();
      const got = await updateJson(`${target}.json`, () => ({ made }), patience);
      tell('result', { made, got: got.made });
    };
    await Promise.all(Array.from({ length: 2 + random(4) }, () => update().catch(fail)));
  },
  look: async () => {
    const began = now();
    const file = await readRegularFile(target);
    tell('read', { target, began, hold: null, version: read(file.contents) });
  },
  /** Somebody who knows nothing of holdfast. */
  stranger: () => {
    const began = now();
    tell('read', { target, began, hold: null, version: read(readFileSync(target)) });
  },
};
// Writes are what there is to lose.
const choices = [...Object.keys(operations), 'update', 'replace', 'update', 'replace'];

async function work() {
  while (!existsSync(stopFile)) {
    tell('invoke', { target });
    const name = choices[random(choices.length)];
    try {
      await operations[name]();
    } catch (error) {
      fail(error);
    }
    await sleep(random(3));
  }
}

/** Starts workers that do the work, and terminates each after a while, wherever it is. */
async function employWorkers() {
  while (!existsSync(stopFile)) {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { ...plan, seed: random(2 ** 31), workers: false },
    });
    const ended = new Promise((resolve, reject) => {
      worker.once('exit', resolve);
      worker.once('error', reject);
    });
    await new Promise((resolve) => worker.once('message', resolve));
    await sleep(5 + random(120));
    await worker.terminate();
    await ended;
  }
}

if (plan.exits && isMainThread) setTimeout(() => process.exit(0), 20 + random(400)).unref();
if (ttl > 0) setInterval(() => tell('turn'), ttl / 10).unref();
if (parentPort !== null) parentPort.postMessage('ready');
await (plan.workers ? employWorkers() : work());
