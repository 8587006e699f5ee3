import holdfast from '../../dist/index.js';

export const lock = (target) => holdfast.lock(target);
export const unlock = (held) => held.release();
export const lockSync = (target) => holdfast.lockSync(target);
export const unlockSync = (held) => held.releaseSync();
export const tryLock = async (target) => (await holdfast.tryLock(target)) !== null;

const durabilities = { none: 'none', file: 'ordered', full: 'full' };

export const replacer = (durability) => {
  const options = { durability: durabilities[durability] };
  return (file, data) => holdfast.replaceFile(file, data, options);
};
export const replacerSync = (durability) => {
  const options = { durability: durabilities[durability] };
  return (file, data) => holdfast.replaceFileSync(file, data, options);
};
