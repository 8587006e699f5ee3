import { crc32 } from 'node:zlib';

/** The size of the block that tells who holds a lock, at the beginning of its lock file. */
export const recordSize = 1024;

/** The line that makes a file a lock file. */
export const magicLine = 'holdfast lock 1\n';

/** Fields by key; those that are undefined are left out. */
export type RecordFields = Record<string, string | number | undefined>;

/** What a holder on this machine that died without release might have left. */
export const deadHolder = {
  pid: 2_147_483_600,
  host: 'some-host',
  acquired_at: 1_700_000_000_000,
  token: 1_700_000_000_000_000,
} satisfies RecordFields;

/** The block of a record with these fields, in this order. */
export function recordOf(fields: RecordFields): Buffer {
  const lines = Object.entries(fields).map(([key, value]) =>
    value === undefined ? '' : `${key}=${value}\n`,
  );
  return sealRecord(lines.join(''));
}

/** The block with these lines between the magic line and a correct check sum, whatever they say. */
export function sealRecord(lines: string): Buffer {
  const text = magicLine + lines;
  const sum = crc32(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0');
  const block = Buffer.alloc(recordSize, ' ');
  block.write(`${text}sum=${sum}\n`, 'latin1');
  block[recordSize - 1] = 0x0a;
  return block;
}
