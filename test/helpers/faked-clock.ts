import { existsSync } from 'node:fs';

// Where Debian's libfaketime and Homebrew's put it.
const libraries = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
];

export function fakedClockLibrary(): string | undefined {
  return libraries.find((library) => existsSync(library));
}

/** The environment of a process whose wall clock is off by what the file `clock` says at any moment. */
export function fakedClock(clock: string): Record<string, string> {
  return {
    LD_PRELOAD: fakedClockLibrary() ?? '',
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_NO_CACHE: '1',
    // A step of the wall clock moves no other.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}
