/**
 * The directory that doctor examines and the one it makes there, held by descriptors. Who may write the first can swap
 * names in it at any moment: what is made, written and removed is reached through the descriptor, whose directory was
 * checked, and not by its name again.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
} from 'node:fs';
import { mkdtempSync, rmdirSync, unlinkSync, type Stats } from 'node:fs';
import path from 'node:path';

import { HoldfastError } from '../errors.js';

export interface HeldDirectory {
  /** Leads to the held directory, whatever becomes of its name. */
  readonly path: string;
  /** Its name, for people. */
  readonly name: string;
  /** Null on systems where no path leads through a descriptor. */
  readonly descriptor: number | null;
}

/** chmod(2); not among Node's constants. */
const sticky = 0o1000;
/** What a directory made in a setgid one gets, too. */
const inheritedSetgid = 0o2000;

/** Linux has a path to what a descriptor is open on. */
const throughDescriptor = (descriptor: number): string => `/proc/self/fd/${descriptor}`;

export async function withHeldDirectory<T>(
  name: string,
  use: (held: HeldDirectory) => Promise<T>,
): Promise<T> {
  if (process.platform === 'win32') return use({ path: name, name, descriptor: null });
  const descriptor = openSync(name, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    if (existsSync(throughDescriptor(descriptor))) {
      return await use({ path: throughDescriptor(descriptor), name, descriptor });
    }
    refuseStrangers(fstatSync(descriptor), name);
    return await use({ path: name, name, descriptor: null });
  } finally {
    closeSync(descriptor);
  }
}

/** Without a path through a descriptor, others must not be able to rename what is in the directory. */
function refuseStrangers({ uid, mode }: Stats, name: string): void {
  const owned = uid === 0 || uid === process.geteuid?.();
  const writable = (mode & 0o022) !== 0 && (mode & sticky) === 0;
  if (owned && !writable) return;
  throw new HoldfastError(
    'EPERM',
    `refused to write in a directory where other users can rename files: run it as the owner of ${name}, or in another one, open '${name}'`,
    { syscall: 'open', path: name, refused: true },
  );
}

/**
 * Makes a directory of mode 0700 in `parent`, hands it to `use` and removes it. Resolves with the error if none can be
 * made.
 */
export async function withScratchDirectory<T>(
  parent: HeldDirectory,
  use: (scratch: HeldDirectory) => Promise<T>,
): Promise<T | Error> {
  let made: string;
  try {
    made = mkdtempSync(path.join(parent.path, '.holdfast-doctor-'));
  } catch (error) {
    return renamed(error as Error, parent);
  }
  const name = path.join(parent.name, path.basename(made));
  if (process.platform === 'win32') {
    const scratch = { path: made, name, descriptor: null };
    return use(scratch).finally(() => {
      empty(scratch.path);
      rmdirSync(made);
    });
  }
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const descriptor = openSync(made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const through = parent.descriptor !== null;
  const scratch = {
    path: through ? throughDescriptor(descriptor) : made,
    name,
    descriptor: through ? descriptor : null,
  };
  const status = fstatSync(descriptor);
  try {
    refuseUnlessMade(status, scratch);
    return await use(scratch).finally(() => {
      empty(scratch.path);
    });
  } finally {
    closeSync(descriptor);
    // Swapped, it is left to whoever did that: ours is empty.
    if (isSame(status, lstatSync(made, { throwIfNoEntry: false }))) rmdirSync(made);
  }
}

function refuseUnlessMade({ uid, mode }: Stats, { path: place, name }: HeldDirectory): void {
  const ours = uid === process.geteuid?.() && (mode & 0o7777 & ~inheritedSetgid) === 0o700;
  if (ours && readdirSync(place).length === 0) return;
  throw new HoldfastError(
    'EPERM',
    `refused to write in a directory that another user has put there: try again, open '${name}'`,
    { syscall: 'open', path: name, refused: true },
  );
}

/** Removes the files of a directory that only we can write: it has no directories. */
function empty(directory: string): void {
  for (const name of readdirSync(directory)) unlinkSync(path.join(directory, name));
}

function isSame(one: Stats, other: Stats | undefined): boolean {
  return other !== undefined && one.dev === other.dev && one.ino === other.ino;
}

/** Names the directory as the user does. */
function renamed(error: Error, { path: place, name }: HeldDirectory): Error {
  error.message = error.message.replaceAll(place, name);
  return error;
}
