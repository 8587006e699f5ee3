import { chmod, chown, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface TemporaryDirectoryOptions {
  /** Who owns it; the caller by default. Another owner needs root. */
  owner?: { uid: number; gid: number };
  /** Its permissions, 0o700 by default, whatever the umask. */
  mode?: number;
  /** Where it is made: the system's directory for temporary files by default. */
  parent?: string;
}

/** Hands the real path of a fresh, empty directory to `use`, and removes it with all that is in it whatever `use` does. */
export async function withTemporaryDirectory<T>(
  use: (directory: string) => T | Promise<T>,
  options: TemporaryDirectoryOptions = {},
): Promise<T> {
  const parent = await realpath(options.parent ?? tmpdir());
  const directory = await mkdtemp(path.join(parent, 'holdfast-test-'));
  try {
    await chmod(directory, options.mode ?? 0o700);
    if (options.owner) await chown(directory, options.owner.uid, options.owner.gid);
    const result = await use(directory);
    await remove(directory);
    return result;
  } catch (error) {
    // Of two errors the first tells what is the matter: what a test leaves open may keep its directory.
    await remove(directory).catch(() => undefined);
    throw error;
  }
}

async function remove(directory: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 5 };
  try {
    await rm(directory, options);
  } catch {
    // A test of permissions may have left directories that not even their owner may empty.
    await makeDirectoriesWritable(directory);
    await rm(directory, options);
  }
}

async function makeDirectoriesWritable(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeDirectoriesWritable(path.join(directory, entry.name));
  }
}

/** The environment of a child that makes its temporary files in `directory`, by whichever variable its system goes. */
export function temporaryFilesIn(directory: string): Record<string, string> {
  return { TMPDIR: directory, TEMP: directory, TMP: directory };
}
