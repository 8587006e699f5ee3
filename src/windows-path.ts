/** What Windows makes of a path. Nothing here asks the system, so that it is the same wherever it runs. */
import { win32 } from 'node:path';

/**
 * Where the names begin: behind a drive, a share, or the same in the verbatim form. The addon opens the root, and every
 * name below it relative to the one above.
 */
const root =
  /^(?:\\\\\?\\(?:[a-z]:|UNC\\[^\\]+\\[^\\]+|Volume\{[^\\]+\})|[a-z]:|\\\\(?![.?]\\)[^\\]+\\[^\\]+)(?:\\|$)/i;

const verbatim = '\\\\?\\';

/** Servers have these beside their shares, for pipes and mailslots. */
const deviceShare = /^\\\\(?:\?\\UNC\\)?[^\\]+\\(?:pipe|mailslot)(?:\\|$)/i;

/** Which is not an absolute path to Node. */
const serverAlone = /^[\\/]{2}[^\\/]+[\\/]*$/;

/** Whatever follows the first dot, and spaces before that, do not make it another device. */
const device =
  /^(?:con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$) *(?:\.|$)/i;

const forbidden = /[\u0000-\u001f<>"|?*]/;

/**
 * The absolute form of a path as Windows sees it, or why it can have none that names a file.
 *
 * Windows resolves ".." by its text, before it looks at any link, so that a path can be resolved once and for all. That
 * includes "\name" and "C:name", which begin at the root or in the current directory of a drive. Relative ones begin in
 * `directory`.
 *
 * The verbatim form ("\\?\C:\...") is held to the rules of the others, although Windows takes it literally: what it would
 * make could be neither opened nor removed by its usual name, and that name would lead to a device or to another file,
 * which has the same lock file or none.
 */
export function resolveOnWindows(
  path: string,
  directory: string = process.cwd(),
): { path: string } | { problem: string } {
  const resolved = win32.resolve(directory, path);
  const [start] = root.exec(resolved) ?? [];
  if (start === undefined) return { problem: deviceProblem(resolved) };
  if (deviceShare.test(resolved)) return { problem: 'must not name a device' };
  if (serverAlone.test(path)) return { problem: 'must name a share of the server' };
  const names = resolved.slice(start.length).split('\\');
  if (names[0] === '') return { problem: 'must name a file or directory in a directory' };
  // Servers and shares have no characters that names may not have.
  const text = resolved.slice(resolved.startsWith(verbatim) ? verbatim.length : 0);
  if (forbidden.test(text)) {
    return { problem: 'must not contain < > " | ? * or a control character on Windows' };
  }
  for (const name of names) {
    const problem = nameProblem(name);
    if (problem !== undefined) return { problem };
  }
  return { path: resolved };
}

function deviceProblem(resolved: string): string {
  return resolved.startsWith(verbatim)
    ? 'must name a drive, a share or a volume, and a file there, after \\\\?\\'
    : 'must not name a device';
}

function nameProblem(name: string): string | undefined {
  if (name.includes(':')) {
    return 'must not contain a colon behind the drive: on Windows that names a stream of a file';
  }
  if (device.test(name)) {
    return `must not contain ${JSON.stringify(name)}, which names a device on Windows`;
  }
  if (/[. ]$/.test(name)) {
    return `must not contain ${JSON.stringify(name)}: Windows drops a dot or a space at the end of a name`;
  }
  return undefined;
}
