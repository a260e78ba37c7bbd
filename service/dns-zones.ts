// Whose business a name is: which are answered here and never forwarded. RFC 6761 §6 (localhost, invalid), RFC 6762 §3 and §12
// (.local and the reverse of link-local addresses are multicast's), RFC 7686 §2 (.onion), RFC 9462 §6.4 (resolver.arpa),
// RFC 6303 (the reverse of 127/8 and ::1); the guests' domain; and the reverse of our networks, by address.

import type { Address } from '../stack/stack.ts';
import { samePrefix } from '../stack/stack.ts';
import { LABEL_BYTES_MAX } from '../wire/dns-name.ts';
import { wireKey } from './dns-names.ts';
import type { DnsNetwork } from './dns-parts.ts';
import type { DnsQuery } from './dns-query.ts';

/** What a zone answers. */
export const Zone = {
  /** None of ours. */
  None: 0,
  /** Names that are known; no others exist. */
  Domain: 1,
  /** Loopback addresses, by every name in it. */
  Localhost: 2,
  /** `localhost`, by every address in it. */
  LoopbackReverse: 3,
  /** There is nothing. */
  Nowhere: 4,
  /** All names exist and have nothing. */
  Empty: 5,
  /** Two addresses by which DNS64 is found, RFC 8880. */
  Ip4Only: 6,
} as const;
export type Zone = (typeof Zone)[keyof typeof Zone];

const SPECIAL: readonly (readonly [string, Zone])[] = [
  ['localhost', Zone.Localhost],
  ['127.in-addr.arpa', Zone.LoopbackReverse],
  ['1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa', Zone.LoopbackReverse],
  ['invalid', Zone.Nowhere],
  ['local', Zone.Nowhere],
  ['onion', Zone.Nowhere],
  ['254.169.in-addr.arpa', Zone.Nowhere],
  ...['8', '9', 'a', 'b'].map((nibble) => [`${nibble}.e.f.ip6.arpa`, Zone.Nowhere] as const),
  ['resolver.arpa', Zone.Empty],
];

const ARPA4 = wireKey('in-addr.arpa')!;
const ARPA6 = wireKey('ip6.arpa')!;
const LABELS4 = 6; // four numbers, in-addr, arpa
const LABELS6 = 34;

interface Known {
  readonly key: Uint8Array;
  readonly kind: Zone;
}

export class DnsZones {
  /** Where the zone that `find` found begins in the name. */
  zoneAt = 0;
  /** What the reverse name that `reverse` read is of. */
  readonly address: Address = new Int32Array(4);
  private readonly zones: Known[] = [];
  /** By length and first letter of a name's last label: is there a zone at all? */
  private readonly tops = new Uint8Array((LABEL_BYTES_MAX + 1) * 256);
  private readonly networks: readonly DnsNetwork[];

  constructor(domain: string, networks: readonly DnsNetwork[], hasDns64: boolean) {
    this.networks = networks;
    this.add(domain, Zone.Domain);
    for (const [name, kind] of SPECIAL) this.add(name, kind);
    if (hasDns64) this.add('ipv4only.arpa', Zone.Ip4Only);
  }

  /** Which zone the name is in, its beginning in `zoneAt`. */
  find(query: DnsQuery): Zone {
    const { key, nameBytes, labels, labelAt } = query;
    if (labels === 0) return Zone.None;
    const top = labelAt[labels - 1]!;
    if (this.tops[key[top]! * 256 + key[top + 1]!] === 0) return Zone.None;
    for (const zone of this.zones) {
      const at = nameBytes - zone.key.length;
      if (at < 0 || !endsWith(key, nameBytes, zone.key) || !isLabel(query, at)) continue;
      this.zoneAt = at;
      return zone.kind;
    }
    return Zone.None;
  }

  /** Reads the address that a reverse name is of into `address`; false if it is none, or of a part of an address only. */
  reverse(query: DnsQuery): boolean {
    const { labels, key, nameBytes } = query;
    if (labels === LABELS4 && endsWith(key, nameBytes, ARPA4)) return this.reverse4(query);
    return labels === LABELS6 && endsWith(key, nameBytes, ARPA6) && this.reverse6(query);
  }

  /** `address` is in one of our networks. */
  get isOurs(): boolean {
    for (const { address, bits } of this.networks) {
      const isIp4 = address[0] === 0 && address[1] === 0 && address[2] === 0xffff;
      if (samePrefix(address, this.address, isIp4 ? 96 + bits : bits)) return true;
    }
    return false;
  }

  private reverse4({ key, labelAt }: DnsQuery): boolean {
    let word = 0;
    for (let i = 3; i >= 0; i--) {
      const at = labelAt[i]!;
      let value = 0;
      for (let d = 1; d <= key[at]!; d++) {
        const digit = key[at + d]! - 0x30;
        if (digit < 0 || digit > 9 || value > 25) return false;
        value = 10 * value + digit;
      }
      if (value > 255) return false;
      word = (word << 8) | value;
    }
    const { address } = this;
    address[0] = address[1] = 0;
    address[2] = 0xffff;
    address[3] = word;
    return true;
  }

  private reverse6({ key, labelAt }: DnsQuery): boolean {
    const { address } = this;
    address.fill(0);
    for (let i = 31; i >= 0; i--) {
      const at = labelAt[i]!;
      const b = key[at + 1]!;
      const nibble = b >= 0x30 && b <= 0x39 ? b - 0x30 : b >= 0x61 && b <= 0x66 ? b - 0x57 : -1;
      if (key[at] !== 1 || nibble < 0) return false;
      const word = (31 - i) >>> 3;
      address[word] = (address[word]! << 4) | nibble;
    }
    return true;
  }

  private add(name: string, kind: Zone): void {
    const key = wireKey(name)!;
    let top = 0;
    for (let at = 0; key[at] !== 0; at += key[at]! + 1) top = at;
    this.tops[key[top]! * 256 + key[top + 1]!] = 1;
    this.zones.push({ key, kind });
  }
}

function endsWith(key: Uint8Array, count: number, end: Uint8Array): boolean {
  const at = count - end.length;
  if (at < 0) return false;
  for (let i = end.length - 1; i >= 0; i--) if (key[at + i] !== end[i]) return false;
  return true;
}

function isLabel({ labelAt, labels }: DnsQuery, at: number): boolean {
  for (let i = labels - 1; i >= 0 && labelAt[i]! >= at; i--) if (labelAt[i] === at) return true;
  return false;
}
