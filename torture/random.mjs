/** Numbers that follow from a seed: whole ones below a limit. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  // Mulberry32: small, and good enough to choose by.
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
