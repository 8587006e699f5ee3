/**
 * The replaces of this thread for one destination, one after the other as they came. A replace that is alone is in no list:
 * where it leads is looked up only when another one comes.
 */
import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { followLinksSync } from './links.js';

/** A replace that has not ended. */
export interface OrderedReplace {
  readonly path: string;
  /** Whether the path is followed, if it is a link, and whether links among the directories before it are refused. */
  readonly follow: boolean;
  readonly refuseParentLinks: boolean;
  /** Calls back when it has ended, and all that came before it. */
  whenOver(callback: () => void): void;
  /** Ends it on this thread, where that can be done. */
  finish(): void;
}

/** One replace in the list of those whose files have the same name, in any directory. */
interface Entry {
  readonly replace: OrderedReplace;
  readonly place: Place;
  previous: Entry | null;
  next: Entry | null;
}

/** The replace that is alone, which has no entry yet. */
let alone: OrderedReplace | null = null;
const entries = new Map<OrderedReplace, Entry>();
/** The last entries by name. */
const lastByName = new Map<string, Entry>();

/** Puts `replace` last. Returns the one that it has to wait for, if any. */
export function enterOrder(replace: OrderedReplace): OrderedReplace | null {
  if (alone === null && entries.size === 0) {
    alone = replace;
    return null;
  }
  enterAlone();
  const entry = append(replace);
  return findBefore(entry.previous, entry.place)?.replace ?? null;
}

export function leaveOrder(replace: OrderedReplace): void {
  if (alone === replace) {
    alone = null;
    return;
  }
  const entry = entries.get(replace);
  if (entry === undefined) return;
  entries.delete(replace);
  const { previous, next, place } = entry;
  if (previous !== null) previous.next = next;
  if (next !== null) next.previous = previous;
  else if (previous !== null) lastByName.set(place.name, previous);
  else lastByName.delete(place.name);
}

/** Ends what came before for the same destination, for a replace that does not wait for another thread. */
export function finishEarlier(
  replace: Pick<OrderedReplace, 'path' | 'follow' | 'refuseParentLinks'>,
): void {
  if (alone === null && entries.size === 0) return;
  enterAlone();
  const place = new Place(replace);
  const earlier: OrderedReplace[] = [];
  let entry = findBefore(lastByName.get(place.name) ?? null, place);
  for (; entry !== null; entry = findBefore(entry.previous, place)) earlier.push(entry.replace);
  for (const one of earlier.reverse()) one.finish();
}

/** Whether both are on their way to the same destination. */
export function shareDestination(one: OrderedReplace, other: OrderedReplace): boolean {
  const place = entries.get(one)?.place;
  const otherPlace = entries.get(other)?.place;
  return (
    place !== undefined &&
    otherPlace !== undefined &&
    place.name === otherPlace.name &&
    place.equals(otherPlace)
  );
}

function enterAlone(): void {
  if (alone === null) return;
  append(alone);
  alone = null;
}

function append(replace: OrderedReplace): Entry {
  const place = new Place(replace);
  const previous = lastByName.get(place.name) ?? null;
  const entry: Entry = { replace, place, previous, next: null };
  if (previous !== null) previous.next = entry;
  lastByName.set(place.name, entry);
  entries.set(replace, entry);
  return entry;
}

function findBefore(last: Entry | null, place: Place): Entry | null {
  let entry = last;
  while (entry !== null && !entry.place.equals(place)) entry = entry.previous;
  return entry;
}

/**
 * Where a replace leads. Places that differ only in case count as one, since on some file systems they are; at worst one
 * replace then waits for another.
 */
class Place {
  readonly name: string;
  readonly #directory: string;
  #identity: string | null = null;

  constructor({
    path,
    follow,
    refuseParentLinks,
  }: Pick<OrderedReplace, 'path' | 'follow' | 'refuseParentLinks'>) {
    const destination = follow ? destinationOf(path, refuseParentLinks) : path;
    this.name = basename(destination).normalize('NFC').toLowerCase();
    this.#directory = dirname(destination);
  }

  equals(other: Place): boolean {
    if (this.#directory === other.#directory) return true;
    return this.#identify() === other.#identify();
  }

  /** What no spelling of the directory, link or mount changes. */
  #identify(): string {
    if (this.#identity === null) {
      const status = statSync(this.#directory, { bigint: true, throwIfNoEntry: false });
      this.#identity = status === undefined ? this.#directory : `${status.dev}:${status.ino}`;
    }
    return this.#identity;
  }
}

function destinationOf(path: string, refuseParentLinks: boolean): string {
  try {
    return followLinksSync(path, refuseParentLinks);
  } catch {
    // The replace itself says what is wrong.
    return path;
  }
}
