import { constants, copyFileSync } from 'node:fs';
import path from 'node:path';

/** Copies Node's program into `directory` under a name that is not Node's, as Electron has one, and hands back its path. */
export function copyNode(directory: string): string {
  const copy = path.join(directory, 'app.exe');
  copyFileSync(process.execPath, copy, constants.COPYFILE_FICLONE);
  return copy;
}
