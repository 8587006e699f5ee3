// A directory that one app uses at a time, with its settings. Nothing in here knows Electron.
const { mkdir } = require('node:fs/promises');
const path = require('node:path');

const { inspectLock, tryLock, updateJson } = require('holdfast');

/**
 * Opens the profile in `directory`, unless another app has it open: then `ours` is false, and `pid` names that app's process
 * as far as it is known. It stays open until close(), or the end of this process, whatever ends it.
 */
async function openProfile(directory) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const profile = path.join(directory, 'profile');
  const held = await tryLock(profile);
  if (held === null) return { ours: false, pid: (await inspectLock(profile)).holder?.pid };

  const settings = path.join(directory, 'settings.json');
  let saving = Promise.resolve();
  return {
    ours: true,
    crashed: held.previousHolder !== null,
    /** Gives the settings the new values that `fn` makes of the present ones, and resolves with them. */
    change(fn) {
      const changed = updateJson(settings, (current) => fn(current ?? {}), { mode: 0o600 });
      saving = Promise.allSettled([saving, changed]);
      return changed;
    },
    async close() {
      await saving;
      await held.release();
    },
  };
}

module.exports = { openProfile };
