// Bytes as text, for identifiers and MAC addresses, and addresses as bytes.

import type { Address } from '../stack/stack.ts';

/** Lower case, two digits a byte. */
export const hexOf = (bytes: Uint8Array): string => Array.from(bytes, hexByte).join('');

/** `aa:bb:cc:dd:ee:ff`. */
export const macText = (mac: Uint8Array): string => Array.from(mac, hexByte).join(':');

const hexByte = (byte: number): string => byte.toString(16).padStart(2, '0');

/** An IPv4 address as words, from a number. */
export const words4 = (address: number): Address => Int32Array.of(0, 0, 0xffff, address);

/** An IPv4 address as a number. */
export const number4 = (address: Address): number => address[3]! >>> 0;

/** The 16 bytes of an address. */
export function bytes16(address: Address): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) view.setInt32(4 * i, address[i]!);
  return bytes;
}

/** An address as words, from the 16 bytes at `at`. */
export const words16 = (view: DataView, at: number): Address =>
  Int32Array.of(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
