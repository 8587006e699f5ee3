// What one writes by hand, and without any care for names, modes, links or leftovers.
import fs from 'node:fs';
import path from 'node:path';

let made = 0;
const temporary = (file) => `${file}.${process.pid}.${made++}.tmp`;

export const replacer = (durability) => async (file, data) => {
  const name = temporary(file);
  const handle = await fs.promises.open(name, 'wx', 0o600);
  await handle.writeFile(data);
  if (durability !== 'none') await handle.sync();
  await handle.close();
  await fs.promises.rename(name, file);
  if (durability !== 'full') return;
  const directory = await fs.promises.open(path.dirname(file));
  await directory.sync();
  await directory.close();
};

export const replacerSync = (durability) => (file, data) => {
  const name = temporary(file);
  const descriptor = fs.openSync(name, 'wx', 0o600);
  fs.writeFileSync(descriptor, data);
  if (durability !== 'none') fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
  fs.renameSync(name, file);
  if (durability !== 'full') return;
  const directory = fs.openSync(path.dirname(file));
  fs.fsyncSync(directory);
  fs.closeSync(directory);
};
