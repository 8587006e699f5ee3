import { closeSync, openSync, readSync } from 'node:fs';

export type Libc = 'glibc' | 'musl';

/**
 * The C library of the program that this runs in, by the loader that its file names: a library made for another one
 * cannot be loaded into it. Null where a program's file tells nothing of the kind, as on other systems than Linux.
 */
export function hostLibc(program: string = process.execPath): Libc | null {
  if (process.platform !== 'linux') return null;
  try {
    const interpreter = readInterpreter(program);
    return interpreter === null ? null : interpreter.includes('/ld-musl-') ? 'musl' : 'glibc';
  } catch {
    // It may not be readable, or no longer there.
    return null;
  }
}

const magic = 0x7f454c46; // "\x7fELF"
const class64 = 2;
const littleEndian = 1;
const interpreterSegment = 3;

/** The segment PT_INTERP of a 64-bit, little-endian ELF file: elf(5). */
function readInterpreter(program: string): string | null {
  const file = openSync(program, 'r');
  try {
    const header = readAt(file, 0, 64);
    if (header.readUInt32BE(0) !== magic || header[4] !== class64 || header[5] !== littleEndian) {
      return null;
    }
    const size = header.readUInt16LE(54);
    const count = header.readUInt16LE(56);
    const table = readAt(file, Number(header.readBigUInt64LE(32)), size * count);
    for (let at = 0; at < table.length; at += size) {
      if (table.readUInt32LE(at) !== interpreterSegment) continue;
      const [offset, length] = [table.readBigUInt64LE(at + 8), table.readBigUInt64LE(at + 32)];
      return readAt(file, Number(offset), Number(length)).toString('latin1');
    }
    return null;
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, position: number, size: number): Buffer {
  const buffer = Buffer.alloc(size);
  return buffer.subarray(0, readSync(file, buffer, 0, size, position));
}
