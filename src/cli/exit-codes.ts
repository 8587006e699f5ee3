/** What the commands end with where the command that they run does not decide; the numbers are those of sysexits(3). */
export const exitCodes = {
  usage: 64,
  badData: 65,
  systemError: 71,
  refused: 77,
  notExecutable: 126,
  notFound: 127,
  /** Plus the number of the signal, as shells have it. */
  signalBase: 128,
} as const;
