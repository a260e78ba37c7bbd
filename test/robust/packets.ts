// Frames made by hand, and the repair of what a mutation broke: lengths and checksums of every layer that can still be read.

const digit = (code: number): number => (code > 96 ? code - 87 : code - 48);

/** Bytes of hex digits (lower case) and numbers. */
export function bytesOf(...parts: readonly (string | number | Uint8Array)[]): Uint8Array {
  let length = 0;
  for (const part of parts)
    length += typeof part === 'number' ? 1 : typeof part === 'string' ? part.length >> 1 : part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'number') out[at++] = part;
    else if (typeof part === 'string') {
      for (let i = 0; i + 1 < part.length; i += 2)
        out[at++] = (digit(part.charCodeAt(i)) << 4) | digit(part.charCodeAt(i + 1));
    } else {
      out.set(part, at);
      at += part.length;
    }
  }
  return out;
}

export const zeros = (n: number): Uint8Array => new Uint8Array(n);

/** An Ethernet frame. */
export const ethernet = (to: string, from: string, type: string, body: Uint8Array): Uint8Array =>
  bytesOf(to, from, type, body);

/** An IPv4 packet; lengths and checksum are for `repair`. `word`: identification, flags and offset. */
export const ip4 = (
  protocol: number,
  from: string,
  to: string,
  body: Uint8Array,
  { options = '', word = '12340000', ttl = 64 } = {},
): Uint8Array => bytesOf(0x45 + options.length / 8, '000000', word, ttl, protocol, '0000', from, to, options, body);

export const ip6 = (next: number, from: string, to: string, body: Uint8Array, hops = 64): Uint8Array =>
  bytesOf('600000000000', next, hops, from, to, body);

/** Sum of big-endian words with carry folded in. */
function sum(b: Uint8Array, from: number, end: number, initial: number): number {
  let s = initial;
  for (let i = from; i + 1 < end; i += 2) s += (b[i]! << 8) | b[i + 1]!;
  if (((end - from) & 1) !== 0 && end > from) s += b[end - 1]! << 8;
  while (s > 0xffff) s = (s & 0xffff) + Math.floor(s / 0x10000);
  return s;
}

function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = (value >>> 8) & 255;
  b[at + 1] = value & 255;
}

/** The transport's checksum; `pseudo` is its part of the addresses. */
function repairTransport(b: Uint8Array, protocol: number, at: number, end: number, pseudo: number): void {
  const length = end - at;
  let field: number;
  let initial = pseudo + length + protocol;
  if (protocol === 6 && length >= 20) field = at + 16;
  else if (protocol === 17 && length >= 8) field = at + 6;
  else if ((protocol === 1 || protocol === 2) && length >= 8) {
    field = at + 2;
    initial = 0;
  } else if (protocol === 58 && length >= 4) field = at + 2;
  else return;
  put16(b, field, 0);
  const value = ~sum(b, at, end, initial) & 0xffff;
  put16(b, field, protocol === 17 && value === 0 ? 0xffff : value);
}

function repair4(b: Uint8Array, length: number, isLengthToo: boolean): void {
  const header = 4 * (b[14]! & 15);
  if (header < 20 || 14 + header > length) return;
  if (isLengthToo) put16(b, 16, length - 14);
  put16(b, 24, 0);
  put16(b, 24, ~sum(b, 14, 14 + header, 0) & 0xffff);
  const isPiece = (((b[20]! << 8) | b[21]!) & 0x3fff) !== 0;
  const end = Math.min(length, 14 + ((b[16]! << 8) | b[17]!));
  const at = 14 + header;
  if (isPiece || end < at) return;
  if (isLengthToo && b[23] === 17 && end - at >= 8) put16(b, at + 4, end - at);
  repairTransport(b, b[23]!, at, end, sum(b, 26, 34, 0));
}

function repair6(b: Uint8Array, length: number, isLengthToo: boolean): void {
  if (length < 54) return;
  if (isLengthToo) put16(b, 18, length - 54);
  const end = Math.min(length, 54 + ((b[18]! << 8) | b[19]!));
  let next = b[20]!;
  let at = 54;
  while ((next === 0 || next === 43 || next === 60) && at + 8 <= end) {
    next = b[at]!;
    at += 8 + 8 * b[at + 1]!;
  }
  if (next === 44 || at > end) return;
  if (isLengthToo && next === 17 && end - at >= 8) put16(b, at + 4, end - at);
  repairTransport(b, next, at, end, sum(b, 22, 54, 0));
}

/** Makes checksums right again, and with `isLengthToo` lengths, as far as the frame of `length` bytes can be read. */
export function repair(b: Uint8Array, length: number, isLengthToo: boolean): void {
  if (length < 34) return;
  const type = (b[12]! << 8) | b[13]!;
  if (type === 0x0800) repair4(b, length, isLengthToo);
  else if (type === 0x86dd) repair6(b, length, isLengthToo);
}

/** A frame with everything repaired. */
export function sealed(frame: Uint8Array): Uint8Array {
  repair(frame, frame.length, true);
  return frame;
}
