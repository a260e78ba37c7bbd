// struct sockaddr_in and sockaddr_in6 in memory of ours. Addresses are four signed words in network order, IPv4 as
// ::ffff:a.b.c.d, at some index of an array: so one array may hold many.

const AF_INET = 2;
const AF_INET6 = 10;

/** Bytes to reserve for one address of any kind but Unix. */
export const SOCKET_ADDRESS_BYTES = 28;
const IP4_BYTES = 16;
const MAPPED = 0xffff;

/** True if the address at `word` is one of IPv4, mapped. */
export const isIp4At = (words: Int32Array, word: number): boolean =>
  words[word + 2] === MAPPED && words[word] === 0 && words[word + 1] === 0;

/** True for `::` and `::ffff:0.0.0.0`. */
export const isAnyAt = (words: Int32Array, word: number): boolean =>
  words[word + 3] === 0 &&
  words[word] === 0 &&
  words[word + 1] === 0 &&
  (words[word + 2] === 0 || isIp4At(words, word));

/** The first word of fe80::/16, whose next 16 bits are zero on the wire (RFC 4291 §2.5.6). */
const LINK_LOCAL = 0xfe80;

/**
 * Writes an address and port at `at`; its length. An IPv6 socket is given IPv4 as a mapped address. Bytes 2 and 3 of a link-local
 * address name its interface, as in BSD's kernels: they become the scope.
 */
export function writeSocketAddress(
  view: DataView,
  at: number,
  isIp6: boolean,
  words: Int32Array,
  word: number,
  port: number,
): number {
  view.setUint16(at, isIp6 ? AF_INET6 : AF_INET, true);
  view.setUint16(at + 2, port);
  view.setInt32(at + 4, isIp6 ? 0 : words[word + 3]!); // flow information, or the address
  const scope = isIp6 && words[word]! >>> 16 === LINK_LOCAL ? words[word]! & 0xffff : 0;
  view.setInt32(at + 8, isIp6 ? words[word]! - scope : 0);
  view.setInt32(at + 12, isIp6 ? words[word + 1]! : 0);
  if (!isIp6) return IP4_BYTES;
  view.setInt32(at + 16, words[word + 2]!);
  view.setInt32(at + 20, words[word + 3]!);
  view.setInt32(at + 24, scope, true);
  return SOCKET_ADDRESS_BYTES;
}

/** Reads the address at `at` into four words; its port. All zero and 0 if it is of another family. */
export function readSocketAddress(view: DataView, at: number, words: Int32Array, word: number): number {
  const family = view.getUint16(at, true);
  const isIp4 = family === AF_INET;
  const isIp6 = family === AF_INET6;
  words[word] = isIp6 ? view.getInt32(at + 8) : 0;
  words[word + 1] = isIp6 ? view.getInt32(at + 12) : 0;
  words[word + 2] = isIp6 ? view.getInt32(at + 16) : isIp4 ? MAPPED : 0;
  words[word + 3] = isIp6 ? view.getInt32(at + 20) : isIp4 ? view.getInt32(at + 4) : 0;
  return isIp4 || isIp6 ? view.getUint16(at + 2) : 0;
}
