// Values of DHCPv4 options that have a form of their own: search lists (RFC 3397), routes (RFC 3442), names (RFC 4702).

import type { Route4 } from './dhcp4.ts';
import { labelsOf, nameBytes, readName } from './dns-name.ts';

const POINTER = 0xc000;
const POINTER_TO_MAX = 0x3fff;

/** Flags of option 81, RFC 4702 §2.1. */
export const FqdnFlag = {
  Server: 1, // S: the server updates the address record
  Override: 2, // O: the server does otherwise than the client wanted
  Encoded: 4, // E: the name is in DNS's form, not in ASCII
  NoUpdate: 8, // N: the server updates nothing
} as const;

/** The value of option 81. */
export interface Fqdn {
  readonly flags: number;
  readonly name: string;
}

/** Reads option 81; undefined if it is malformed. The name may be partial or empty. */
export function readFqdn(value: Uint8Array): Fqdn | undefined {
  if (value.length < 3) return undefined;
  const flags = value[0]!;
  const bytes = value.subarray(3);
  if ((flags & FqdnFlag.Encoded) === 0) return { flags, name: String.fromCharCode(...bytes.subarray(0, 255)) };
  if (bytes.length === 0) return { flags, name: '' };
  // RFC 4702 §2.3: a partial name has no final zero.
  const whole = bytes.at(-1) === 0 ? bytes : Uint8Array.from([...bytes, 0]);
  const name = readName(whole, 0);
  return name && { flags, name: name.name };
}

/** A value of option 81; both rcodes are 255, RFC 4702 §2.2. */
export function fqdnBytes({ flags, name }: Fqdn): Uint8Array {
  const ascii = (): Uint8Array => Uint8Array.from(name, (letter) => letter.charCodeAt(0) & 127);
  const bytes = (flags & FqdnFlag.Encoded) === 0 ? ascii() : (nameBytes(name) ?? new Uint8Array(0));
  return Uint8Array.from([flags, 255, 255, ...bytes]);
}

/** Names for option 119, compressed among themselves. What is no name is left out. */
export function searchBytes(names: readonly string[]): Uint8Array {
  const out: number[] = [];
  const known = new Map<string, number>();
  for (const name of names) {
    const labels = labelsOf(name);
    if (!labels || labels.length === 0) continue;
    let pointer = 0;
    for (let i = 0; i < labels.length && pointer === 0; i++) {
      const rest = labels
        .slice(i)
        .map((label) => Array.from(label).join())
        .join('.');
      const at = known.get(rest);
      if (at !== undefined) pointer = POINTER | at;
      else {
        if (out.length <= POINTER_TO_MAX) known.set(rest, out.length);
        out.push(labels[i]!.length, ...labels[i]!);
      }
    }
    if (pointer === 0) out.push(0);
    else out.push(pointer >>> 8, pointer & 255);
  }
  return Uint8Array.from(out);
}

/** Routes for option 121. */
export function routesBytes(routes: readonly Route4[]): Uint8Array {
  return Uint8Array.from(
    routes.flatMap(({ prefix, bits, gateway }) => [
      bits,
      ...[24, 16, 8, 0].slice(0, (bits + 7) >>> 3).map((shift) => (prefix >>> shift) & 255),
      ...[24, 16, 8, 0].map((shift) => (gateway >>> shift) & 255),
    ]),
  );
}
