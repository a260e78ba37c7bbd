// Addresses as the bytes of DNS records.

import { parseAddress } from '../../stack/stack.ts';

/** 4 bytes. */
export const ipv4Bytes = (text: string): Uint8Array => Uint8Array.from(text.split('.'), Number);

/** 16 bytes. */
export function ipv6Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of parseAddress(text)!.entries()) view.setInt32(4 * i, word);
  return bytes;
}
