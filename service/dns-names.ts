// Names that are known here, each with its records: those of the configuration, which stay, and the guests'. Found by the
// bytes of a query, so that asking makes nothing.

import { type Address, equalAddresses, formatAddress, ip4Of, isIp4 } from '../stack/stack.ts';
import { viewOf } from '../wire/bytes.ts';
import { Type } from '../wire/dns.ts';
import { nameBytes, nameKey, reverseName } from '../wire/dns-name.ts';
import { type DnsQuery, hashOf } from './dns-query.ts';

/** Names, reverse ones among them. */
const NAMES_MAX = 32_768;
/** Records of one name. */
const RECORDS_MAX = 16;

/** One record of class IN. */
export interface LocalRecord {
  readonly type: number;
  readonly data: Uint8Array;
  /** A guest's; the others stay. */
  readonly isGuest: boolean;
}

/** A name and what is known of it: perhaps nothing but that there are names below it. */
export interface LocalName {
  readonly key: Uint8Array;
  readonly records: LocalRecord[];
  isFixed: boolean;
}

/** The 4 or 16 bytes of an address. */
export function addressBytes(address: Address): Uint8Array {
  const view = new DataView(new ArrayBuffer(isIp4(address) ? 4 : 16));
  if (isIp4(address)) view.setUint32(0, ip4Of(address));
  else for (let i = 0; i < 4; i++) view.setInt32(4 * i, address[i]!);
  return new Uint8Array(view.buffer);
}

/** The address that 4 or 16 bytes are. */
export function bytesAddress(bytes: Uint8Array): Address {
  const view = viewOf(bytes);
  if (bytes.length === 4) return Int32Array.of(0, 0, 0xffff, view.getInt32(0));
  return Int32Array.of(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

/** The wire form in lower case; undefined of what is no name. */
export const wireKey = (name: string): Uint8Array | undefined => nameBytes(nameKey(name));

export class DnsNames {
  private readonly seed: number;
  /** By the hash of the key; smaller numbers make no garbage. */
  private readonly byHash = new Map<number, LocalName[]>();
  private readonly guests = new Map<string, { address: Address; names: readonly string[] }>();
  private count = 0;

  /** @param seed as that of the queries */
  constructor(seed: number) {
    this.seed = seed;
  }

  /** What is known of the name that is asked for, or undefined. */
  find(query: DnsQuery): LocalName | undefined {
    const bucket = this.byHash.get(query.nameHash & 0x3fffffff);
    if (!bucket) return undefined;
    for (const name of bucket) if (isKey(name.key, query.key, query.nameBytes)) return name;
    return undefined;
  }

  /** True if the configuration has the name. */
  isFixed(name: string): boolean {
    return this.lookup(name)?.isFixed ?? false;
  }

  /** A name of the configuration, and its address's name unless that has one. False if it is no name, or there are too many. */
  addFixed(name: string, address: Address): boolean {
    const data = addressBytes(address);
    const isAdded = this.addRecord(name, { type: typeOf(address), data, isGuest: false });
    return isAdded && this.addReverse(address, name, false);
  }

  /** A name that exists, without records, if only for those below it. */
  addEmpty(name: string): void {
    const entry = this.obtain(name);
    if (entry) entry.isFixed = true;
  }

  /** The guest at `address` is called `names`, the last of which is its address's name; before it was called otherwise. */
  setGuest(names: readonly string[], address: Address): boolean {
    this.removeGuest(address);
    if (names.some((name) => this.isFixed(name))) return false;
    const data = addressBytes(address);
    for (const name of names) this.addRecord(name, { type: typeOf(address), data, isGuest: true });
    this.addReverse(address, names.at(-1)!, true);
    this.guests.set(formatAddress(address), { address: address.slice(), names });
    return true;
  }

  removeGuest(address: Address): void {
    const key = formatAddress(address);
    const guest = this.guests.get(key);
    if (!guest) return;
    this.guests.delete(key);
    for (const name of guest.names) {
      this.dropRecords(name, (r) => r.type === typeOf(address) && equalAddresses(bytesAddress(r.data), address));
    }
    this.dropRecords(reverseName(addressBytes(address)), () => true);
  }

  private addReverse(address: Address, name: string, isGuest: boolean): boolean {
    const reverse = reverseName(addressBytes(address));
    const known = this.lookup(reverse);
    if (known && known.records.length > 0) return true;
    return this.addRecord(reverse, { type: Type.PTR, data: nameBytes(name)!, isGuest });
  }

  private addRecord(name: string, record: LocalRecord): boolean {
    const entry = this.obtain(name);
    if (!entry || entry.records.length >= RECORDS_MAX) return false;
    if (!record.isGuest) entry.isFixed = true;
    const isKnown = entry.records.some((r) => r.type === record.type && isKey(r.data, record.data, record.data.length));
    if (!isKnown) entry.records.push(record);
    return true;
  }

  private obtain(name: string): LocalName | undefined {
    const known = this.lookup(name);
    if (known) return known;
    const key = wireKey(name);
    if (!key || key.length <= 1 || this.count >= NAMES_MAX) return undefined;
    const entry: LocalName = { key, records: [], isFixed: false };
    const hash = this.hashOfKey(key);
    const bucket = this.byHash.get(hash);
    if (bucket) bucket.push(entry);
    else this.byHash.set(hash, [entry]);
    this.count++;
    return entry;
  }

  private lookup(name: string): LocalName | undefined {
    const key = wireKey(name);
    return key && this.byHash.get(this.hashOfKey(key))?.find((entry) => isKey(entry.key, key, key.length));
  }

  /** Drops a guest's records, and the name if nothing is left of it. */
  private dropRecords(name: string, isGone: (record: LocalRecord) => boolean): void {
    const entry = this.lookup(name);
    if (!entry) return;
    const left = entry.records.filter((r) => !r.isGuest || !isGone(r));
    entry.records.splice(0, entry.records.length, ...left);
    if (left.length > 0 || entry.isFixed) return;
    const hash = this.hashOfKey(entry.key);
    const bucket = this.byHash.get(hash)!.filter((one) => one !== entry);
    if (bucket.length > 0) this.byHash.set(hash, bucket);
    else this.byHash.delete(hash);
    this.count--;
  }

  private hashOfKey(key: Uint8Array): number {
    return hashOf(this.seed, key, 0, key.length) & 0x3fffffff;
  }
}

const typeOf = (address: Address): number => (isIp4(address) ? Type.A : Type.AAAA);

function isKey(key: Uint8Array, bytes: Uint8Array, count: number): boolean {
  if (key.length !== count) return false;
  for (let i = 0; i < count; i++) if (key[i] !== bytes[i]) return false;
  return true;
}
