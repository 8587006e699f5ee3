/** What one input of a property may take. One that takes for ever ends the process, with the name of its property. */
import { writeSync } from 'node:fs';
import process from 'node:process';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

export const mostSeconds = 5;
export const mostMebibytes = 256;
/** Of what never ends: far more, since a machine may have other things to do. */
const endlessSeconds = 60;
const name = { offset: 8, length: 200 };

const shared = isMainThread ? new SharedArrayBuffer(name.offset + name.length) : workerData;
const sinceSecond = new Int32Array(shared, 0, 1);
const nameBytes = new Uint8Array(shared, name.offset, name.length);

/** Ends the process that is still at the same input when the time is up: its own thread cannot. */
if (isMainThread) {
  new Worker(new URL(import.meta.url), { workerData: shared }).unref();
} else {
  for (;;) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    const began = Atomics.load(sinceSecond, 0);
    if (began === 0 || Date.now() / 1000 - began < endlessSeconds) continue;
    writeSync(
      2,
      `${Buffer.from(nameBytes).toString().replaceAll('\0', '')}: an input takes for ever\n`,
    );
    process.kill(process.pid, 'SIGKILL');
  }
}

const memory = () => {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return (heapUsed + external + arrayBuffers) / 2 ** 20;
};
/** Processor time, which a busy machine does not stretch. */
const seconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** `predicate`, which fails for an input that takes too much; `worst` has what the costliest ones took. */
export function bounded(target, predicate, worst) {
  return async (...input) => {
    nameBytes.fill(0);
    nameBytes.set(Buffer.from(target).subarray(0, name.length));
    Atomics.store(sinceSecond, 0, Math.round(Date.now() / 1000));
    const [began, before] = [seconds(), memory()];
    try {
      await predicate(...input);
    } finally {
      Atomics.store(sinceSecond, 0, 0);
    }
    const [took, grew] = [seconds() - began, memory() - before];
    worst.seconds = Math.max(worst.seconds, took);
    worst.mebibytes = Math.max(worst.mebibytes, grew);
    if (took > mostSeconds) throw new Error(`it took ${took} s`);
    if (grew > mostMebibytes) throw new Error(`it took ${grew} MiB`);
  };
}
