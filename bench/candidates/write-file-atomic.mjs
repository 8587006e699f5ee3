import writeFileAtomic from 'write-file-atomic';

export const replacer = (durability) => {
  const options = { fsync: durability !== 'none' };
  return (file, data) => writeFileAtomic(file, data, options);
};
export const replacerSync = (durability) => {
  const options = { fsync: durability !== 'none' };
  return (file, data) => writeFileAtomic.sync(file, data, options);
};
