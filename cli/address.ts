// Addresses as an operator writes them, to bytes in network order.

import { isIPv4, isIPv6 } from 'node:net';

/** An address in its network: 4 or 16 bytes and the length of the prefix in bits. */
export interface Prefixed {
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

/** An IPv4 or IPv6 address without a zone: 4 or 16 bytes; undefined if it is none. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  return isIPv6(text) && !text.includes('%') ? parseIpv6(text) : undefined;
}

/** `ADDRESS/PREFIX`; undefined if it is none. */
export function parsePrefixed(text: string): Prefixed | undefined {
  const [, host = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseAddress(host);
  if (!address || Number(bits) > address.length * 8) return undefined;
  return { address, prefixLength: Number(bits) };
}

/** As `parsePrefixed` reads it. */
export function formatPrefixed({ address, prefixLength }: Prefixed): string {
  const words = Array.from({ length: 8 }, (_, i) =>
    (((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0)).toString(16),
  );
  return `${address.length === 4 ? address.join('.') : words.join(':')}/${prefixLength}`;
}

/** Six bytes, `02:00:00:00:00:01`, of one station; undefined for anything else and for group addresses. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined;
  const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
  return mac[0]! & 1 ? undefined : mac;
}

// RFC 4291 §2.2; the text is known to be valid.
function parseIpv6(text: string): Uint8Array {
  const dotted = /[^:]+\.[^:]+$/.exec(text)?.[0];
  const tail = dotted ? Uint8Array.from(dotted.split('.'), Number) : new Uint8Array(0);
  const words = dotted ? text.slice(0, -dotted.length).replace(/([^:]):$/, '$1') : text;
  const [left = '', right = ''] = words.split('::');
  const bytes = new Uint8Array(16);
  writeWords(bytes, 0, wordsOf(left));
  const last = wordsOf(right);
  writeWords(bytes, 16 - tail.length - last.length * 2, last);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

const wordsOf = (text: string): string[] => text.split(':').filter((word) => word !== '');

function writeWords(bytes: Uint8Array, at: number, words: readonly string[]): void {
  for (const [i, word] of words.entries()) {
    const value = Number.parseInt(word, 16);
    bytes[at + 2 * i] = value >> 8;
    bytes[at + 2 * i + 1] = value & 0xff;
  }
}
