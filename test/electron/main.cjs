// The main process of an Electron app that uses holdfast from within its archive, and has a utility process use it, too.
const { app, utilityProcess } = require('electron');
const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

const { inspectLock, lock, replaceFile, tryLock, updateJson } = require('holdfast');

function expect(what, condition) {
  if (!condition) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

/** One round of questions and answers with the utility process. */
function ask(child, question) {
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error('the utility process has ended')));
    child.once('message', ({ error, answer }) =>
      error === undefined ? resolve(answer) : reject(new Error(error)),
    );
    child.postMessage(question);
  });
}

async function run(directory) {
  const file = path.join(directory, 'settings.json');
  const child = utilityProcess.fork(path.join(app.getAppPath(), 'utility.cjs'));
  await new Promise((resolve) => child.once('spawn', resolve));

  const held = await lock(file);
  expect('another process finds the lock held', (await ask(child, { tryLock: file })) === false);
  const { state, holder } = await inspectLock(file);
  expect('the holder is this process', state === 'held' && holder.self);
  await held.release();

  expect('another process takes the lock', (await ask(child, { tryLock: file })) === true);
  expect('which excludes this one', (await tryLock(file)) === null);
  const waiting = lock(file, { timeout: 60_000 });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await gone;
  const next = await waiting;
  expect('the lock of a process that was killed is free', next.held);
  await next.release();

  await replaceFile(file, '{"count":0}');
  await Promise.all(
    Array.from({ length: 50 }, () => updateJson(file, ({ count }) => ({ count: count + 1 }))),
  );
  expect('no update is lost', JSON.parse(readFileSync(file, 'utf8')).count === 50);
}

app.whenReady().then(async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-electron-'));
  let code = 0;
  try {
    console.log(`Electron ${process.versions.electron}, Node ${process.versions.node}`);
    expect('the app runs from its archive', app.getAppPath().includes('app.asar'));
    await run(directory);
  } catch (error) {
    console.error(error);
    code = 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
    app.exit(code);
  }
});
