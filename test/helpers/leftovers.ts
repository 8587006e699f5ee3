import { lstatSync, lutimesSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The name of a temporary file that is made where there are no unnamed files. */
export const randomName = /^\.holdfast-[0-9a-f]{32}\.tmp$/;

/** A name of that form. */
export function randomNameOf(number: number): string {
  return `.holdfast-${number.toString(16).padStart(32, '0')}.tmp`;
}

/** Dates everything of holdfast's in `directory` back: to more than a minute ago by default. */
export function makeOld(directory: string, seconds = 62): void {
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('.holdfast-')) continue;
    const file = path.join(directory, name);
    const { atime, mtimeMs } = lstatSync(file);
    lutimesSync(file, atime, new Date(mtimeMs - seconds * 1000));
  }
}
