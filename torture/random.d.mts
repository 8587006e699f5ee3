export type Random = (limit: number) => number;
export function randomFrom(seed: number): Random;
