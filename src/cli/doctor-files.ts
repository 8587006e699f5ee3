/** What the file system does with files: what a replace needs of it. */
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { toError } from '../errors.js';
import { replaceFile } from '../index.js';
import { native } from '../native.js';
import { failure } from './doctor-report.js';
import type { CheckName, Finding } from './doctor-report.js';

export async function tryFiles(directory: string, signal: AbortSignal): Promise<Finding[]> {
  return [
    await attempt('rename', () => tryRename(path.join(directory, 'renamed'), signal)),
    await attempt('flush', () => tryFlush(path.join(directory, 'flushed'), signal)),
    await attempt('unnamed-files', () => tryUnnamedFile(directory)),
    await attempt('attributes', () => tryAttribute(path.join(directory, 'attributed'))),
  ];

  async function attempt(check: CheckName, action: () => Outcome | Promise<Outcome>) {
    try {
      return { check, ...(await action()) };
    } catch (error) {
      signal.throwIfAborted();
      return failure(check, error);
    }
  }
}

type Outcome = Pick<Finding, 'result' | 'text'>;

/** Over a file that somebody has open, which is where it is hard. */
async function tryRename(file: string, signal: AbortSignal): Promise<Outcome> {
  writeFileSync(file, 'old');
  const reader = openSync(file, 'r');
  try {
    const { method } = await replaceFile(file, 'new', { retry: 0, signal });
    const ways = {
      rename: 'a file that somebody has open is replaced in one step, by a rename',
      'replace-file':
        'a file that somebody has open is replaced by ReplaceFileW: between its steps the name leads nowhere',
      copy: 'a file that somebody has open cannot be renamed over: the new contents are copied into it, with an undo file',
    };
    return { result: method === 'rename' ? 'yes' : 'no', text: ways[method] };
  } finally {
    closeSync(reader);
  }
}

async function tryFlush(file: string, signal: AbortSignal): Promise<Outcome> {
  const { durable } = await replaceFile(file, 'new', { durability: 'full', signal });
  return durable
    ? { result: 'yes', text: 'files and their names can be flushed to the disk' }
    : {
        result: 'no',
        text: "what was replaced with durability 'full' is not known to be on the disk",
      };
}

/** The same on every architecture, and not among Node's constants: open(2), O_TMPFILE without O_DIRECTORY. */
const temporaryFile = 0o20_000_000;

function tryUnnamedFile(directory: string): Outcome {
  if (process.platform !== 'linux') {
    return { result: 'unknown', text: 'this system has none: temporary files have names' };
  }
  closeSync(openSync(directory, temporaryFile | constants.O_DIRECTORY | constants.O_RDWR, 0o600));
  return { result: 'yes', text: 'temporary files have no name: a kill leaves none behind' };
}

function tryAttribute(file: string): Outcome {
  writeFileSync(file, '');
  const error = native.tryAttribute(path.toNamespacedPath(file));
  if (error !== undefined) throw toError(error);
  return { result: 'yes', text: "files have extended attributes, which keep: ['xattr'] keeps" };
}
