// Bytes written as hex in a test, with blanks where the reader wants them.

/** The bytes of a hex string; blanks do not count. */
export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  const digits = hex.replace(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** A view of the bytes of a hex string. */
export const viewOfHex = (hex: string): DataView => new DataView(bytesOf(hex).buffer);

/** Lower-case hex without blanks. */
export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
