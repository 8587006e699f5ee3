import fastWriteAtomic from 'fast-write-atomic';

export const replacer = () => fastWriteAtomic.promise;
