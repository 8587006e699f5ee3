/**
 * Calls every function of the addon in an order, and with arguments, that nobody thought of: one case. Arguments are the
 * addon, the seed, and a directory for files, which is made. Whatever a call throws is an answer; what must not happen is that
 * the process ends otherwise than by itself. Prints the memory that it took, in KiB.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

import { randomFrom } from '../torture/random.mjs';

const [file, seed, directory] = isMainThread ? process.argv.slice(2) : workerData;
const random = randomFrom(Number(seed));
const calls = 400;
const thrownByDelivery = 'thrown by what is delivered';

/** Blocked for as long as they are told, so that they are told no more than this. */
const blocking = { awaitWait: 1, complete: 1, takeOver: 1 };
const longest = 5;

const pick = (list) => list[random(list.length)];
const place = (name) => path.join(directory, name);

function prepare() {
  mkdirSync(directory, { recursive: true });
  process.chdir(directory);
  for (const name of ['a', 'b', '.a.lock']) writeFileSync(place(name), 'x'.repeat(random(3000)));
  mkdirSync(place('sub'), { recursive: true });
}

const texts = () => [
  ...['a', 'b', 'c', 'sub/d', 'sub', '.a.lock', 'no/such'].map(place),
  ...['', '\0', 'relative', '\ud800', 'x'.repeat(300), `${'/x'.repeat(3000)}`, `${place('a')}\0b`],
  ...['holdfast', '0:0:0:0:0:0', `${'9'.repeat(30)}:1:1:1:1:1`],
];
const numbers = () => [
  ...[0, 1, 2, 3, 4, 5, 7, 16, 32, 64, 100, 0o600, 0o644, 511, 4096, 2 ** 31, 2 ** 32 - 1],
  ...[2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64, 1e308, -1, -0, -(2 ** 31), 0.5],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, random(1 << 20)],
];

function bytes() {
  const buffer = new ArrayBuffer(random(5000), { maxByteLength: 10_000 });
  const view = new Uint8Array(buffer);
  const transferred = new Uint8Array(100);
  structuredClone(transferred, { transfer: [transferred.buffer] });
  const detachedSoon = new Uint8Array(random(100_000));
  setImmediate(() => {
    try {
      buffer.resize(random(10_000));
      if (random(2) === 0) structuredClone(detachedSoon, { transfer: [detachedSoon.buffer] });
    } catch {
      // It is what it is.
    }
  });
  return pick([
    ...[view, transferred, detachedSoon, Buffer.from('text\n'), new Uint8Array(0)],
    ...[new Uint8Array(new SharedArrayBuffer(64)), new Float64Array(9), new DataView(buffer)],
  ]);
}

const optionNames = [
  ...['path', 'refuseParentLinks', 'maxBytes', 'journalDir', 'within', 'dirMode', 'expected'],
  ...['requireDirMode', 'tightenDir', 'lock', 'owners', 'trustAnyOwner'],
];

function options() {
  const given = Object.fromEntries(
    optionNames.map((name) => [name, pick([value(), value(), true])]),
  );
  if (random(2) === 0) given.path = place(pick(['a', 'b', 'sub']));
  if (random(4) > 0) return given;
  return new Proxy(given, {
    get: (target, name) => {
      if (random(6) === 0) throw new Error('not to be read');
      if (random(6) === 0) callAny();
      return target[name];
    },
  });
}

const others = () => [undefined, null, true, false, 1n, Symbol('s'), () => 1, [], {}, new Date(0)];
function value() {
  return pick([texts, numbers, numbers, () => [bytes()], others])();
}
const argument = () => {
  const one = random(12) === 0 ? options() : value();
  return Array.isArray(one) && one.length > 0 ? pick(one) : one;
};

/** What most functions expect at their places, so that calls get further than to the first check. */
const likely = {
  acquire: () => [place(pick(['a', 'b', 'c'])), undefined, pick([0, 1, 16, 64, 80, 81]), 0o600],
  startWait: () => [random(30)],
  replaceSync: () => [
    place(pick(['a', 'b'])),
    random(1 << 13),
    pick([undefined, 0o600]),
    undefined,
    7,
    bytes(),
  ],
  openReplacement: () => [place(pick(['a', 'b'])), random(1 << 13), undefined, options()],
  replaceSteps: () => [random(20), pick([1, 2, 3, 4, 7, 15]), bytes()],
  replaceStepsSync: () => [random(20), pick([1, 2, 3, 4, 7, 15]), bytes()],
  readFile: () => [options()],
  readFileSync: () => [options()],
  removeFile: () => [options()],
  openLog: () => [place(pick(['log', 'a'])), 0o600, random(4)],
  appendToLog: () => [random(10), 'line\n', random(2) === 0],
  appendToLogSync: () => [random(10), 'line\n', random(2) === 0],
  writeFileTail: () => [place('a'), false, random(100), true, random(3), bytes()],
  readFileRange: () => [place('a'), false, random(100), random(10_000)],
  parseRecord: () => [bytes(), random(5000)],
};
likely.startAcquire = likely.startTouch = likely.startInspect = likely.acquire;

let result;
const native = createRequire(import.meta.url)(file);
const names = () => Object.keys(functions);
const pending = [];
let depth = 0;
let functions = {};

function callAny() {
  if (depth > 3) return;
  depth += 1;
  const name = pick(names());
  let args = Array.from({ length: random(9) }, argument);
  if (name in likely && random(4) > 0) args = likely[name]();
  else if (random(2) === 0) args = [random(40), ...args];
  if (name in blocking && args.length > blocking[name]) args[blocking[name]] = random(longest);
  // One argument of many that would do.
  if (random(5) === 0) args[random(args.length + 1)] = argument();
  if (name in blocking && typeof args[1] === 'number') args[1] = Math.min(args[1], longest);
  try {
    const answer = functions[name](...args);
    if (answer instanceof Promise) pending.push(answer.catch(() => undefined));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  } finally {
    depth -= 1;
  }
}

function reopen() {
  result = new Float64Array(5);
  functions = native.open(result, 'host', () => {
    if (random(3) === 0) callAny();
    if (random(10) === 0) throw new Error(thrownByDelivery);
  });
  for (const wrong of [[], [result], [result, 1, reopen], [new Uint8Array(8), 'host', reopen]]) {
    try {
      native.open(...wrong);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

async function run() {
  prepare();
  reopen();
  process.on('uncaughtException', (error) => {
    if (error instanceof Error && error.message === thrownByDelivery) return;
    console.error(error);
    process.exit(1);
  });
  for (let call = 0; call < calls; call++) {
    callAny();
    if (random(20) === 0) await new Promise((turned) => setImmediate(turned));
    if (random(100) === 0) reopen();
    if (random(300) === 0 && result.length > 0) {
      structuredClone(result, { transfer: [result.buffer] });
    }
    if (pending.length > 20) await Promise.all(pending.splice(0));
  }
  if (random(2) === 0) await Promise.all(pending);
  // What is awaited keeps a process alive, which is not what is tried here.
  if (isMainThread) {
    console.log(process.resourceUsage().maxRSS);
    process.exit(0);
  }
}

if (isMainThread && Number(seed) % 4 === 0) {
  // In a thread that ends in the middle of it.
  const worker = new Worker(new URL(import.meta.url), {
    workerData: [file, Number(seed) + 1, directory],
  });
  worker.on('error', () => undefined);
  await new Promise((ended) => {
    worker.once('exit', ended);
    worker.once('online', () => setTimeout(() => void worker.terminate(), random(300)));
  });
  console.log(process.resourceUsage().maxRSS);
} else {
  await run();
}
