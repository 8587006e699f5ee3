/** Where symbolic links lead. They are followed by name, before anything is opened: what is opened is never a link. */
import { isUtf8 } from 'node:buffer';
import { promises, readlinkSync, realpath, realpathSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError } from './errors.js';
import { onWindows, parsePath, refuseReserved } from './path.js';

// Only the system knows what ".." leads to behind a link. On Windows that is nothing but text, and the system's answer also
// spells names as the disk does and drives as what they stand for, so that it cannot be compared.
export const realPath = promisify(onWindows ? realpath : realpath.native);
const realPathSync = onWindows ? realpathSync : realpathSync.native;

/** As many as Linux follows in one path. */
const mostLinks = 40;

/**
 * What `path` leads to: the first name that is not a link, and that may be absent. With `refuseParentLinks` a link among
 * the directories on the way to any of the links is ELOOP; the way to the result is checked when that is opened.
 */
export async function followLinks(path: string, refuseParentLinks: boolean): Promise<string> {
  let current = path;
  for (let links = 0; links < mostLinks; links++) {
    const target = await promises.readlink(current, 'buffer').catch(endOfLinks);
    if (target === null) return endAt(current);
    if (refuseParentLinks) checkParents(current, await realPath(dirname(current)));
    current = step(path, current, target);
  }
  throw refusal(path, 'too many links');
}

/** As {@link followLinks}, on this thread. */
export function followLinksSync(path: string, refuseParentLinks: boolean): string {
  let current = path;
  for (let links = 0; links < mostLinks; links++) {
    let target: Buffer | null;
    try {
      target = readlinkSync(current, 'buffer');
    } catch (error) {
      target = endOfLinks(error);
    }
    if (target === null) return endAt(current);
    if (refuseParentLinks) checkParents(current, realPathSync(dirname(current)));
    current = step(path, current, target);
  }
  throw refusal(path, 'too many links');
}

function checkParents(link: string, parent: string): void {
  if (resolve(dirname(link)) !== parent) throw refusal(link, 'a link among the directories');
}

/** Not `path.join`, which would resolve a ".." that the kernel has to. */
export function beside(path: string, name: string): string {
  const directory = dirname(path);
  return directory.endsWith(sep) ? directory + name : directory + sep + name;
}

/** readlink() says EINVAL (on Windows UNKNOWN) of what is no link. What else is wrong shows when the path is opened. */
function endOfLinks(error: unknown): null {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EINVAL' || code === 'UNKNOWN' || code === 'ENOENT' || code === 'ENOTDIR')
    return null;
  throw error;
}

/** The link may lead to a name that the caller could not have given. */
function endAt(path: string): string {
  refuseReserved(path);
  return path;
}

/** Where `link`, one of those that `path` leads through, points to: parsed as any other path, so that it has one spelling. */
function step(path: string, link: string, target: Buffer): string {
  // Text that is not UTF-8 would come out as another name.
  if (!isUtf8(target)) throw refusal(path, 'a link whose text is not UTF-8');
  const text = target.toString();
  // A target like "../.." has no name of its own that a lock file could be named after.
  if (!onWindows && isNameless(text)) throw refusal(path, 'a link without a name');
  const next = parsePath(text, dirname(link));
  if ('path' in next) return next.path;
  throw refusal(path, `a link to ${JSON.stringify(text)}, which ${next.problem}`);
}

function isNameless(text: string): boolean {
  const last = text.split('/').findLast((name) => name !== '' && name !== '.');
  return last === undefined || last === '..';
}

function refusal(path: string, why: string): HoldfastError {
  return new HoldfastError('ELOOP', `refused to follow ${why}, readlink '${path}'`, {
    syscall: 'readlink',
    path,
    refused: true,
  });
}
