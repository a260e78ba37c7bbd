// Domain names as text and as labels. RFC 1035 §3.1 and §4.1.4, escapes of §5.1, case RFC 4343.

/** Bytes of a name on the wire, the root's zero among them. RFC 1035 §2.3.4. */
export const NAME_BYTES_MAX = 255;
/** Bytes of one label. */
export const LABEL_BYTES_MAX = 63;

const POINTER = 0xc0;
const DOT = 0x2e;
const BACKSLASH = 0x5c;

/** A name that was read: its text, and where the bytes after it are. */
export interface NameRead {
  readonly name: string;
  readonly next: number;
}

/**
 * Reads the name at `at`; undefined if it does not fit the message, is too long, or points anywhere but backwards, which
 * also bounds the walk (RFC 9267 §2). The text has no final dot, the root is empty, odd bytes are escaped.
 */
export function readName(bytes: Uint8Array, at: number): NameRead | undefined {
  let name = '';
  let length = 1;
  let next = -1;
  let lowest = at; // a pointer goes below whatever was read so far
  let p = at;
  while (p < bytes.length && bytes[p] !== 0) {
    const n = bytes[p]!;
    if (n >= POINTER) {
      const to = pointer(bytes, p);
      if (to >= lowest) return undefined;
      if (next < 0) next = p + 2;
      p = lowest = to;
    } else {
      length += n + 1;
      if (n > LABEL_BYTES_MAX || length > NAME_BYTES_MAX || p + n >= bytes.length) return undefined;
      name += `${labelText(bytes, p + 1, n)}.`;
      p += n + 1;
    }
  }
  if (p >= bytes.length) return undefined;
  return { name: name.slice(0, -1), next: next < 0 ? p + 1 : next };
}

/** Where the pointer at `p` leads; nowhere good if it is cut. */
const pointer = (bytes: Uint8Array, p: number): number =>
  p + 1 < bytes.length ? ((bytes[p]! & 0x3f) << 8) | bytes[p + 1]! : bytes.length;

function labelText(bytes: Uint8Array, at: number, count: number): string {
  let text = '';
  for (let p = at; p < at + count; p++) {
    const b = bytes[p]!;
    if (b === DOT || b === BACKSLASH) text += `\\${String.fromCharCode(b)}`;
    else if (b > 0x20 && b < 0x7f) text += String.fromCharCode(b);
    else text += `\\${b.toString().padStart(3, '0')}`;
  }
  return text;
}

/** The labels of a name as text, with or without a final dot; undefined if it is none. Text beyond ASCII becomes UTF-8. */
export function labelsOf(name: string): Uint8Array[] | undefined {
  const labels: Uint8Array[] = [];
  let label: number[] = [];
  let total = 1;
  const source = new TextEncoder().encode(name === '.' ? '' : name);
  const close = (): boolean => {
    if (label.length === 0 || label.length > LABEL_BYTES_MAX) return false;
    labels.push(Uint8Array.from(label));
    total += label.length + 1;
    label = [];
    return true;
  };
  for (let i = 0; i < source.length; i++) {
    const b = source[i]!;
    if (b === DOT) {
      if (!close()) return undefined;
    } else if (b === BACKSLASH) {
      const value = escaped(source, i + 1);
      if (value < 0) return undefined;
      label.push(value);
      i += isDigit(source[i + 1]) ? 3 : 1;
    } else label.push(b);
  }
  if (label.length > 0 && !close()) return undefined;
  return total <= NAME_BYTES_MAX ? labels : undefined;
}

const isDigit = (b: number | undefined): boolean => b !== undefined && b >= 0x30 && b <= 0x39;

/** The byte that the escape after a backslash stands for, or -1. */
function escaped(source: Uint8Array, at: number): number {
  const first = source[at];
  if (first === undefined) return -1;
  if (!isDigit(first)) return first;
  if (!isDigit(source[at + 1]) || !isDigit(source[at + 2])) return -1;
  const value = (first - 0x30) * 100 + (source[at + 1]! - 0x30) * 10 + source[at + 2]! - 0x30;
  return value < 256 ? value : -1;
}

/** True if `name` can be sent. */
export const isName = (name: string): boolean => labelsOf(name) !== undefined;

/** The name uncompressed; undefined if it is none. */
export function nameBytes(name: string): Uint8Array | undefined {
  const labels = labelsOf(name);
  if (!labels) return undefined;
  const out: number[] = [];
  for (const label of labels) out.push(label.length, ...label);
  out.push(0);
  return Uint8Array.from(out);
}

/** What equal names have in common: lower case of ASCII only (RFC 4343), without the final dot. */
export function nameKey(name: string): string {
  const lower = name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return lower.endsWith('.') && !lower.endsWith('\\.') ? lower.slice(0, -1) : lower;
}

/** True if `name` is `zone` or below it; any name is below the root. */
export function isBelow(name: string, zone: string): boolean {
  const key = nameKey(name);
  const top = nameKey(zone);
  return top === '' || key === top || key.endsWith(`.${top}`);
}

/** The name that addresses are looked up by: `1.0.0.10.in-addr.arpa` of 4 bytes, nibbles below `ip6.arpa` of 16. RFC 3596 §2.5. */
export function reverseName(address: Uint8Array): string {
  if (address.length === 4) return `${Array.from(address).reverse().join('.')}.in-addr.arpa`;
  const nibbles = Array.from(address).flatMap((b) => [b >>> 4, b & 15]);
  return `${nibbles
    .reverse()
    .map((n) => n.toString(16))
    .join('.')}.ip6.arpa`;
}
