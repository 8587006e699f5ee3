import { TextFile, TextFileSync } from 'lowdb/node';

const adapters = new Map();

// It writes text.
export const replacer = () => (file, data) => {
  let adapter = adapters.get(file);
  if (adapter === undefined) adapters.set(file, (adapter = new TextFile(file)));
  return adapter.write(data.toString('latin1'));
};
export const replacerSync = () => (file, data) =>
  new TextFileSync(file).write(data.toString('latin1'));
