// The rows of leases of one family: which are there, which address a client may have, and which is chosen for it.

import { UsageError } from '../core/assert.ts';
import { type Address, formatAddress } from '../stack/stack.ts';
import { labelOf } from './names.ts';
import { Pool, type PoolOptions } from './pool.ts';

const RESERVATIONS_MAX = 4096;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const HEX = /^([0-9a-f]{2})+$/;

/** What a lease is. */
export type LeaseState = 'offered' | 'bound' | 'declined' | 'expired';

/** Who asks. */
export interface Client {
  /** Identifier in hexadecimal, lower case. */
  readonly id: string;
  /** Where it is: its MAC address, or its link-local address, as text. Identifiers count at their place only. */
  readonly where: string;
  /** MAC address as `aa:bb:cc:dd:ee:ff`, '' where it is not known. */
  readonly mac: string;
  /** What it calls itself, as it said it; '' if it did not. */
  readonly name: string;
  /** The engine asks for a program, not a DHCP client in it. */
  readonly isProgram?: boolean;
}

/** An address that is kept for a guest: by `mac` or `client`, or by what it calls itself. With the former, `name` is what it is called. */
export interface Reservation {
  readonly address: Address;
  readonly mac?: string;
  /** Identifier in hexadecimal. */
  readonly client?: string;
  readonly name?: string;
}

/** One lease in its table. */
export interface Row {
  readonly index: number;
  readonly address: Address;
  /** Of the client; '' of a declined one. */
  key: string;
  client: string;
  where: string;
  mac: string;
  name: string;
  state: LeaseState;
  /** Since when it is bound, -1 if it never was. */
  sinceS: number;
  untilS: number;
  /** A program of the engine has it. */
  isProgram: boolean;
  /** It does not run out: the program runs. */
  isHeld: boolean;
}

/** What a client is found by. */
export const keyOf = (client: { readonly id: string; readonly where: string }): string =>
  `${client.where}|${client.id}`;

/** True if the guest is known by something else than what it says its name is. */
const isKnown = (one: Reservation): boolean => one.mac !== undefined || one.client !== undefined;

/** Rows by number: below the pool's count they are its addresses, above it reservations beside the pool. */
export class LeaseTable {
  readonly pool: Pool;
  readonly rows = new Map<number, Row>();
  readonly byKey = new Map<string, Row>();
  private readonly programs = new Map<string, Row>();
  /** Addresses that are not reserved. */
  readonly dynamicCount: number;
  private readonly reservations: readonly Reservation[];
  private readonly reserved = new Set<number>();
  private readonly beside = new Map<string, number>();

  /** Takes the reservations of its family. Throws `UsageError`. */
  constructor(options: PoolOptions, reservations: readonly Reservation[]) {
    this.pool = new Pool(options);
    const { pool } = this;
    this.reservations = reservations
      .filter((one) => one.address.length === 4 && isIp6(one.address) === pool.isIp6)
      .map((one) => checked(one, pool));
    if (this.reservations.length > RESERVATIONS_MAX) {
      throw new UsageError(`${this.reservations.length} reservations: at most ${RESERVATIONS_MAX}`);
    }
    for (const [i, { address }] of this.reservations.entries()) {
      const number = this.numberOf(address);
      if (this.reserved.has(number)) throw new UsageError(`${formatAddress(address)} is reserved twice`);
      if (number < 0) this.beside.set(formatAddress(address), pool.count + i);
      this.reserved.add(number < 0 ? pool.count + i : number);
    }
    let dynamicCount = 0;
    for (let i = 0; i < pool.count; i++) if (this.mayLease(i)) dynamicCount++;
    this.dynamicCount = dynamicCount;
  }

  /** -1 if it is neither of the pool nor reserved. */
  numberOf(address: Address): number {
    const i = this.pool.indexOf(address);
    return i >= 0 || this.beside.size === 0 ? i : (this.beside.get(formatAddress(address)) ?? -1);
  }

  /** True if anybody may have it who has no reservation. */
  mayLease(index: number): boolean {
    return index >= 0 && index < this.pool.count && this.pool.mayLease(index) && !this.reserved.has(index);
  }

  /** The number that is reserved for the client, if it can have it now; else -1. */
  reservedFor(client: Client): number {
    const one = this.reservationOf(client);
    if (!one) return -1;
    const index = this.numberOf(one.address);
    const row = this.rows.get(index);
    // A machine that starts its next program has another identifier, but is the same by its MAC address.
    const isItsOwn = row?.key === keyOf(client) || (row?.mac === client.mac && client.mac !== '');
    const isToBeHad = !row || row.state === 'expired' || (isItsOwn && row.state !== 'declined');
    return isToBeHad ? index : -1;
  }

  /** The client; or the program whose machine it is, so that a DHCP client in it gets the address that it has, whatever it says it is. */
  identify(client: Client): Client {
    const row = client.mac === '' || client.isProgram ? undefined : this.programs.get(client.mac);
    return row ? { ...client, id: row.client, where: row.where } : client;
  }

  /** Says whether a program of the engine has it. */
  setProgram(row: Row, isProgram: boolean): void {
    if (this.programs.get(row.mac) === row) this.programs.delete(row.mac);
    row.isProgram = isProgram;
    if (isProgram && row.mac !== '') this.programs.set(row.mac, row);
  }

  /** The name that the configuration gives the client, '' if none. */
  givenName(client: Client): string {
    return this.reservationOf(client)?.name ?? '';
  }

  /** Names that the configuration gives to known guests. */
  givenNames(): string[] {
    return this.reservations.filter(isKnown).map((one) => one.name ?? '');
  }

  /** True if the place has `max` leases that are not expired. */
  isFull(where: string, max: number): boolean {
    let count = 0;
    for (const row of this.rows.values()) if (row.where === where && row.state !== 'expired') count++;
    return count >= max;
  }

  /** A number for a client that has none, -1 if all are used. */
  freeFor(client: Client, wanted: Address | undefined): number {
    const { pool, rows } = this;
    const wish = wanted ? pool.indexOf(wanted) : -1;
    if (this.mayLease(wish) && (rows.get(wish)?.state ?? 'expired') === 'expired') return wish;
    if (rows.size < pool.count + this.beside.size) {
      const start = pool.isSequential ? 0 : hash(keyOf(client)) % pool.count;
      for (let i = 0; i < pool.count; i++) {
        const index = (start + i) % pool.count;
        if (this.mayLease(index) && !rows.has(index)) return index;
      }
    }
    let oldest: Row | undefined;
    for (const row of rows.values()) {
      const isOlder = row.state === 'expired' && this.mayLease(row.index) && !(oldest && oldest.untilS <= row.untilS);
      if (isOlder) oldest = row;
    }
    return oldest?.index ?? -1;
  }

  /** The row of a number for a client, new if need be; another client's is forgotten, and another row of the client too. */
  rowFor(index: number, client: Client, address: Address): Row {
    const key = keyOf(client);
    const own = this.byKey.get(key);
    if (own && own.index !== index) this.forget(own);
    const before = this.rows.get(index);
    if (before?.key === key) return before;
    if (before) this.forget(before);
    const { id, where, mac } = client;
    const fresh = { name: '', state: 'offered' as const, sinceS: -1, untilS: 0, isProgram: false, isHeld: false };
    const row: Row = { index, address: address.slice(), key, client: id, where, mac, ...fresh };
    this.rows.set(index, row);
    this.byKey.set(key, row);
    return row;
  }

  forget(row: Row): void {
    this.rows.delete(row.index);
    this.setProgram(row, false);
    if (this.byKey.get(row.key) === row) this.byKey.delete(row.key);
  }

  /** The address of a number. */
  addressOf(index: number): Address {
    return index < this.pool.count
      ? this.pool.addressOf(index)
      : this.reservations[index - this.pool.count]!.address.slice();
  }

  /** By what cannot be said by anybody first, then by the name that it says. */
  private reservationOf(client: Client): Reservation | undefined {
    if (this.reservations.length === 0) return undefined;
    const known = this.reservations.find((one) => isKnown(one) && isOf(one, client));
    if (known) return known;
    const label = labelOf(client.name);
    return label === '' ? undefined : this.reservations.find((one) => !isKnown(one) && labelOf(one.name!) === label);
  }
}

const isOf = (one: Reservation, client: Client): boolean =>
  (one.mac === undefined || one.mac === client.mac) && (one.client === undefined || one.client === client.id);

const isIp6 = (a: Address): boolean => !(a[0] === 0 && a[1] === 0 && a[2] === 0xffff);

function checked(one: Reservation, pool: Pool): Reservation {
  const text = formatAddress(one.address);
  const mac = one.mac?.toLowerCase();
  const client = one.client?.toLowerCase();
  if (!pool.isOnLink(one.address)) throw new UsageError(`${text} cannot be reserved: it is not of the subnet`);
  if (mac !== undefined && !MAC.test(mac)) {
    throw new UsageError(`${text} cannot be reserved for MAC address '${mac.slice(0, 40)}'; write aa:bb:cc:dd:ee:ff`);
  }
  if (client !== undefined && !HEX.test(client)) {
    throw new UsageError(
      `${text} cannot be reserved for client '${client.slice(0, 40)}'; write its bytes in hexadecimal`,
    );
  }
  if (one.name !== undefined && labelOf(one.name) === '') {
    throw new UsageError(`${text} cannot be reserved for the name '${one.name.slice(0, 40)}'; use letters and digits`);
  }
  if (mac === undefined && client === undefined && one.name === undefined) {
    throw new UsageError(`${text} is reserved for nobody; give a MAC address, a client identifier or a name`);
  }
  return {
    address: one.address.slice(),
    ...(mac !== undefined && { mac }),
    ...(client !== undefined && { client }),
    ...(one.name !== undefined && { name: one.name }),
  };
}

/** FNV-1a with a final mix: 32 bits. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
