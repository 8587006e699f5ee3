import { writeFile, writeFileSync } from 'atomically';

export const replacer = (durability) => {
  const options = { fsync: durability !== 'none' };
  return (file, data) => writeFile(file, data, options);
};
export const replacerSync = (durability) => {
  const options = { fsync: durability !== 'none' };
  return (file, data) => writeFileSync(file, data, options);
};
