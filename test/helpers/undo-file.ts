import { createHash } from 'node:crypto';
import { chmod, link, realpath, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

/** The format of undo files, from docs/protocol.md, section 10. */
const headerSize = 112;
const blockSize = 4096;
const sealSeconds = 2_114_380_800;

/**
 * What the undo file of a copy into `target` is called: by the target's name, and by its number. In a `journalDir` the
 * first one is made of the whole path.
 */
export async function undoNamesOf(
  target: string,
  where: 'beside' | 'elsewhere' = 'beside',
): Promise<[byName: string, byNumber: string]> {
  const { ino } = await stat(target);
  return [`.holdfast-${await digitsOf(target, where)}.undo`, `.holdfast-0-${ino}.undo`];
}

async function digitsOf(target: string, where: 'beside' | 'elsewhere'): Promise<string> {
  // As Windows compares names.
  const given = path.basename(target);
  const name = process.platform === 'win32' ? given.toUpperCase() : given;
  const place = where === 'beside' ? name : path.join(await realpath(path.dirname(target)), name);
  return createHash('sha256').update(place).digest('hex').slice(0, 32);
}

export interface UndoFile {
  target: string;
  old: Buffer;
  next: Buffer;
  oldMode?: number;
  newMode?: number;
  /** Changes the header before its sum is made. */
  alter?: (header: Buffer) => void;
  /** Changes the bytes of the whole file. */
  damage?: (bytes: Buffer) => void;
  mode?: number;
  sealed?: boolean;
  linked?: boolean;
}

/** Makes an undo file as holdfast does, but for what is asked for. Returns its path. */
export async function makeUndoFile(undo: UndoFile): Promise<string> {
  const { target, old, next, mode = 0o600, sealed = true, linked = true } = undo;
  const { ino, birthtimeNs } = await stat(target, { bigint: true });
  const sums = sumsOf(next, old.length);
  const header = Buffer.alloc(headerSize);
  header.write('holdfast undo 1', 'latin1');
  header.writeBigUInt64LE(ino, 16);
  header.writeBigUInt64LE(birthtimeNs, 32);
  header.writeBigUInt64LE(BigInt(old.length), 40);
  header.writeBigUInt64LE(BigInt(next.length), 48);
  header.write(await digitsOf(target, 'beside'), 56, 'latin1');
  header.writeUInt32LE(undo.oldMode ?? 0o640, 88);
  header.writeUInt32LE(undo.newMode ?? 0o640, 92);
  header.writeUInt32LE(crc32(sums), 96);
  header.writeUInt32LE(crc32(old), 100);
  undo.alter?.(header);
  const sum = crc32(header.subarray(0, headerSize - 4));
  header.writeUInt32LE(sum, headerSize - 4);
  const bytes = Buffer.concat([header, sums, old]);
  undo.damage?.(bytes);

  const [byName, byNumber] = (await undoNamesOf(target)).map((name) =>
    path.join(path.dirname(target), name),
  ) as [string, string];
  await writeFile(byName, bytes, { mode });
  await chmod(byName, mode);
  const seal = sealSeconds + (sum & 0x7fffff) * 2;
  if (sealed) await utimes(byName, seal, seal);
  if (linked) await link(byName, byNumber);
  return byName;
}

/** CRC-32 of each block of the new contents, which are cut where the old ones end as well. */
function sumsOf(next: Buffer, oldSize: number): Buffer {
  const sums: number[] = [];
  for (let begin = 0; begin < next.length;) {
    const whole = begin - (begin % blockSize) + blockSize;
    const ends = [whole, oldSize, next.length].filter((end) => end > begin);
    const end = Math.min(...ends);
    sums.push(crc32(next.subarray(begin, end)));
    begin = end;
  }
  const bytes = Buffer.alloc(4 * sums.length);
  for (const [index, sum] of sums.entries()) bytes.writeUInt32LE(sum, 4 * index);
  return bytes;
}

/** What a target holds whose copy was cut short after the first block. */
export function tornAfterBlock(old: Buffer, next: Buffer): Buffer {
  return Buffer.concat([next.subarray(0, blockSize), old.subarray(blockSize)]);
}
