import { Writer } from 'steno';

const writers = new Map();

export const replacer = () => (file, data) => {
  let writer = writers.get(file);
  if (writer === undefined) writers.set(file, (writer = new Writer(file)));
  return writer.write(data);
};
