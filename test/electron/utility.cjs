// The utility process of the app: takes a lock when it is asked to, and keeps it.
const { tryLock } = require('holdfast');

process.parentPort.on('message', ({ data }) => {
  tryLock(data.tryLock).then(
    (held) => process.parentPort.postMessage({ answer: held !== null }),
    (error) => process.parentPort.postMessage({ error: String(error) }),
  );
});
