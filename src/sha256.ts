/** The SHA-256 of something, in bytes or in hexadecimal digits. */
export function sha256(data: string | Uint8Array): Buffer {
  // Not loaded before it is needed, which few calls do: it takes as long to load as everything else that this package needs.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return createHash('sha256').update(data).digest();
}

export const sha256Hex = (data: string | Uint8Array): string => sha256(data).toString('hex');
