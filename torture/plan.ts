/** What `npm run torture` was asked for. */
const minutes = Number(process.env.HOLDFAST_TORTURE_MINUTES ?? 3);
export const seed = Number(process.env.HOLDFAST_TORTURE_SEED ?? 1);

/** The part of all the time that is set aside for something, in milliseconds. */
export const share = (part: number): number => minutes * 60_000 * part;

/** So that a hang is told from a long run. */
export const timeLimit = minutes * 60_000 * 4 + 10 * 60_000;

/** Whether it is the long run of many processes, and nothing else. */
export const soak = process.env.HOLDFAST_TORTURE_SOAK === '1';
