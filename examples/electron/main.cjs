// The main process: one app for each profile, and settings that are old or new, never half.
const { app, BrowserWindow } = require('electron');

const { openProfile } = require('./profile.cjs');

app.whenReady().then(start, fail);

async function start() {
  const directory = app.getPath('userData');
  const profile = await openProfile(directory);
  if (!profile.ours) {
    console.log(`${directory} is in use by pid ${profile.pid ?? 'unknown'}`);
    app.quit();
    return;
  }
  if (profile.crashed) console.log('the app did not end as it should the last time');
  const { starts, bounds } = await profile.change(({ starts = 0, ...others }) => ({
    ...others,
    starts: starts + 1,
  }));
  const window = new BrowserWindow({ ...bounds });
  console.log(`start ${starts} on ${directory}`);

  const save = () => {
    const bounds = window.getBounds();
    profile.change((settings) => ({ ...settings, bounds })).catch(fail);
  };
  window.on('resized', save);
  window.on('moved', save);

  let closed = false;
  app.on('will-quit', (event) => {
    if (closed) return;
    // What is being saved comes first, then the profile is free for the next one.
    event.preventDefault();
    profile.close().then(() => {
      closed = true;
      console.log('closed');
      app.quit();
    }, fail);
  });
}

function fail(error) {
  console.error(error);
  app.exit(1);
}
