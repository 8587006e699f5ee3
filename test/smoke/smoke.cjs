// The installed package, in whatever runs this: its own process, a child, a worker. Prints what it has seen as JSON, or
// ends with an error. Needs no test runner, so that it also runs where none does.
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { once } = require('node:events');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

const holdfast = require('holdfast');
const { HoldfastError, lock, lockSync, tryLock, tryLockSync, withLock } = holdfast;

const packageDirectory = path.dirname(require.resolve('holdfast/package.json'));
const { addonFile } = require(path.join(packageDirectory, 'dist', 'loader.js'));

const steps = {
  async 'an exclusive lock is one'(target) {
    const held = await lock(target);
    assert.equal(await tryLock(target), null);
    await held.release();
    const next = lockSync(target);
    assert.ok(next.token > held.token);
    next.releaseSync();
    assert.equal(await withLock(target, (inner) => inner.held), true);
  },

  async 'a wait ends by its timeout'(target) {
    const held = lockSync(target);
    await assert.rejects(lock(target, { timeout: 20 }), (error) => {
      return error instanceof HoldfastError && error.code === 'ETIMEDOUT';
    });
    held.releaseSync();
  },

  async 'another process is excluded, waits, and is woken'(target) {
    const held = await lock(target);
    await withChild(target, async (child) => {
      assert.equal(await child.says(), 'busy');
      assert.equal(await child.says(), 'waiting');
      await held.release();
      assert.equal(await child.says(), 'granted');
      assert.equal(await tryLock(target), null);
    });
  },

  async 'the lock of a killed process is free'(target) {
    await withChild(target, async (child) => {
      while ((await child.says()) !== 'granted');
      const waiting = lock(target);
      await child.kill();
      await (await waiting).release();
    });
  },

  async 'a worker is excluded'(target) {
    const held = await lock(target);
    const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { tryLockSync } = require(workerData.holdfast);
      parentPort.postMessage(tryLockSync(workerData.target) === null);`;
    const workerData = { holdfast: require.resolve('holdfast'), target };
    const worker = new Worker(program, { eval: true, workerData });
    const [excluded] = await once(worker, 'message');
    await worker.terminate();
    assert.equal(excluded, true);
    await held.release();
  },

  async 'files are replaced, read and updated'(target) {
    const { method } = await holdfast.replaceFile(target, 'old', { mode: 0o600 });
    assert.equal(typeof method, 'string');
    assert.equal((await holdfast.readRegularFile(target))?.contents.toString(), 'old');
    holdfast.replaceFileSync(target, '{"visits":1}');
    const visit = () => holdfast.updateJson(target, ({ visits }) => ({ visits: visits + 1 }));
    await Promise.all([visit(), visit(), visit()]);
    assert.deepEqual(JSON.parse(readFileSync(target, 'utf8')), { visits: 4 });
  },
};

/** Tries, waits, and keeps the lock. */
async function beChild(target) {
  const say = (word) => process.stdout.write(`${word}\n`);
  // Kept, or it would be said that it was dropped.
  beChild.held = tryLockSync(target);
  if (beChild.held === null) {
    say('busy');
    const pending = lock(target);
    say('waiting');
    beChild.held = await pending;
  }
  say('granted');
}

async function withChild(target, use) {
  const child = spawn(process.execPath, [process.argv[1], '--child', target], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const words = readline(child.stdout);
  try {
    await use({
      says: async () => (await words.next()).value,
      async kill() {
        child.kill('SIGKILL');
        await ended;
      },
    });
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

async function* readline(stream) {
  let rest = '';
  for await (const chunk of stream) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop();
    yield* lines.map((line) => line.trim());
  }
}

async function main() {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-smoke-'));
  try {
    for (const [name, step] of Object.entries(steps)) {
      await step(path.join(directory, 'target')).catch((error) => {
        throw new Error(name, { cause: error });
      });
    }
    const { platform, arch } = process;
    const addon = path.relative(packageDirectory, addonFile()).replaceAll(path.sep, '/');
    console.log(JSON.stringify({ platform, arch, addon, steps: Object.keys(steps).length }));
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

if (process.argv[2] === '--child') {
  process.stdin.resume(); // a held lock does not keep a process
  void beChild(process.argv[3]);
} else {
  void main();
}
