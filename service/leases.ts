// Leases: who has which address of a network, until when. One table for IPv4, IPv6 and the programs that `weft run` starts.
//
//            offer                 bind                    untilS passes, release
//   (free) ────────▶ offered ────────────────▶ bound ─────────────────────────────▶ expired ──▶ its own again, or the oldest's
//                       │ untilS passes          │ decline                                      for somebody when all are used
//                       ▼                        ▼
//                     (free) ◀── quarantineS ── declined
//
// A client is an identifier (DHCPv4's option 61, or what stands for it; DUID and IAID) at a place: its MAC address, of DHCPv6
// its link-local address. Deviates from RFC 2131 §4.2 and RFC 8415 §12, where the identifier alone counts: clones of one
// machine image have one identifier, and would share an address; and who only repeats another's identifier gets nothing of it.
//
// Choice: what is reserved for the client, else what it had before, else what it wants if that is free, else by a hash of the
// client, else what expired longest ago. Times are whole wall-clock seconds, arguments all.

import { UsageError } from '../core/assert.ts';
import type { Address } from '../stack/stack.ts';
import { type Client, keyOf, type LeaseState, LeaseTable, type Reservation, type Row } from './lease-table.ts';
import { readLeases, type SavedLease, writeLeases } from './lease-text.ts';
import { type GuestNames, labelOf, NameTable } from './names.ts';
import type { PoolOptions } from './pool.ts';

export type { Client, LeaseState, Reservation } from './lease-table.ts';

const OFFER_S = 30;
const QUARANTINE_S = 600;
const LEASE_S_MIN = 60;
const LEASE_S_MAX = 0xffff_fffe;
const PER_GUEST_MAX = 8;
/** Of clients that do not renew, as BOOTP's; what a file says to last longer is wrong. */
export const LONG_LEASE_S = 86_400;

/** One lease, as it is now; it changes with the table. */
export interface Lease {
  readonly address: Address;
  readonly client: string;
  readonly where: string;
  readonly mac: string;
  /** The name that it was given, '' for none. */
  readonly name: string;
  readonly state: LeaseState;
  /** Since when the client has it, -1 if it was only offered. */
  readonly sinceS: number;
  readonly untilS: number;
  /** A program of `weft run` has it: it lasts until `giveBack`. */
  readonly isHeld: boolean;
}

/** Bounds and times. */
export interface LeaseOptions {
  readonly pool4?: PoolOptions;
  readonly pool6?: PoolOptions;
  /** How long a lease lasts, 60 s and more. */
  readonly leaseS: number;
  readonly offerS?: number;
  readonly quarantineS?: number;
  /** Leases of one place and family that are not expired, at most. */
  readonly perGuestMax?: number;
  readonly reservations?: readonly Reservation[];
  /** Told of names as they come and go. */
  readonly names?: GuestNames;
  /** Names that guests may not have. */
  readonly isNameTaken?: (name: string) => boolean;
}

/** How an address stands to a client. */
export type Standing = 'mine' | 'free' | 'taken' | 'other' | 'away';

/** What happened, whole numbers. */
export class LeaseCounters {
  offered = 0;
  bound = 0; // renewals are not in it
  renewed = 0;
  released = 0;
  declined = 0;
  expired = 0;
  // Refused, each with its reason:
  exhausted = 0; // no address left
  guestFull = 0; // the guest has as many as it may
}

/** All leases of a network. */
export class Leases {
  readonly counters = new LeaseCounters();
  /** Changes whenever `save` would say something else. */
  revision = 0;
  readonly leaseS: number;
  private readonly offerS: number;
  private readonly quarantineS: number;
  private readonly perGuestMax: number;
  private readonly names: NameTable;
  private readonly tables: readonly [LeaseTable | undefined, LeaseTable | undefined];
  private nextS = Number.POSITIVE_INFINITY;

  /** Throws `UsageError`. */
  constructor(options: LeaseOptions) {
    const { leaseS, offerS = OFFER_S, quarantineS = QUARANTINE_S, perGuestMax = PER_GUEST_MAX } = options;
    if (!Number.isInteger(leaseS) || leaseS < LEASE_S_MIN || leaseS > LEASE_S_MAX) {
      throw new UsageError(`leases of ${leaseS} s: expected ${LEASE_S_MIN} to ${LEASE_S_MAX}`);
    }
    this.leaseS = leaseS;
    this.offerS = offerS;
    this.quarantineS = quarantineS;
    this.perGuestMax = perGuestMax;
    const { pool4, pool6, reservations = [], isNameTaken = () => false } = options;
    this.tables = [pool4 && new LeaseTable(pool4, reservations), pool6 && new LeaseTable(pool6, reservations)];
    const kept = new Set(this.tables.flatMap((table) => table?.givenNames() ?? []).map(labelOf));
    this.names = new NameTable(options.names, (name) => kept.has(name) || isNameTaken(name));
  }

  /** True if the family's addresses are leased here. */
  serves(isIp6: boolean): boolean {
    return this.tables[isIp6 ? 1 : 0] !== undefined;
  }

  /** True if a host of the network may have it, leased here or not. */
  isOnLink(address: Address): boolean {
    return this.tableOf(address)?.pool.isOnLink(address) ?? false;
  }

  /** An address for a client, kept for `offerS` unless it is bound already. Undefined if there is none. */
  offer(who: Client, isIp6: boolean, wanted: Address | undefined, nowS: number): Lease | undefined {
    this.expire(nowS);
    const table = this.tables[isIp6 ? 1 : 0];
    if (!table) return undefined;
    const client = table.identify(who);
    const index = this.choose(table, client, wanted);
    if (index < 0) return undefined;
    const key = keyOf(client);
    const row = table.rows.get(index);
    if (row?.key === key && row.state === 'bound') return row;
    this.counters.offered++;
    const offered = this.rowFor(table, index, client);
    offered.state = 'offered';
    this.setUntil(offered, nowS + this.offerS);
    return offered;
  }

  /** How `address` stands to the client: its own, to be had, another's, not what it has or is to have, not of this network. */
  standing(who: Client, address: Address, nowS: number): Standing {
    this.expire(nowS);
    const table = this.tableOf(address);
    if (!table?.pool.isOnLink(address)) return 'away';
    const client = table.identify(who);
    const index = table.numberOf(address);
    const row = table.rows.get(index);
    const key = keyOf(client);
    const isMine = row?.key === key && row.state !== 'expired';
    const reserved = table.reservedFor(client);
    if (reserved >= 0) return reserved !== index ? 'other' : isMine ? 'mine' : 'free';
    if (isMine && table.mayLease(index)) return 'mine';
    if ((table.byKey.get(key)?.state ?? 'expired') !== 'expired') return 'other';
    return table.mayLease(index) && (row?.state ?? 'expired') === 'expired' ? 'free' : 'taken';
  }

  /**
   * The client has `address` from now on, for `leaseS` and not less than `secondsMin`; undefined if it stands otherwise than
   * 'mine' or 'free', or the client has too many.
   */
  bind(who: Client, address: Address, nowS: number, secondsMin = 0): Lease | undefined {
    const standing = this.standing(who, address, nowS);
    if (standing !== 'mine' && standing !== 'free') return undefined;
    const table = this.tableOf(address)!;
    const client = table.identify(who);
    const index = table.numberOf(address);
    const before = table.rows.get(index);
    if (standing === 'free' && this.isFull(table, client)) return undefined;
    const isRenewal = before?.state === 'bound' && before.key === keyOf(client);
    const row = this.rowFor(table, index, client);
    if (isRenewal) this.counters.renewed++;
    else this.counters.bound++;
    if (row.state !== 'bound') row.sinceS = nowS;
    row.state = 'bound';
    this.setUntil(row, nowS + Math.max(this.leaseS, secondsMin));
    this.revision++;
    this.giveName(table, row, client);
    return row;
  }

  /** The lease that a client has now, offered or bound. */
  find(client: Client, isIp6: boolean, nowS: number): Lease | undefined {
    this.expire(nowS);
    const table = this.tables[isIp6 ? 1 : 0];
    const row = table?.byKey.get(keyOf(table.identify(client)));
    return row && row.state !== 'expired' ? row : undefined;
  }

  /** The client gives `address` back; it is kept for it as long as no other needs it. False if it is not the client's. */
  release(client: Client, address: Address, nowS: number): boolean {
    const found = this.owned(client, address, nowS);
    if (!found) return false;
    if (found.row.isHeld) return true;
    this.counters.released++;
    this.end(found.table, found.row, nowS);
    return true;
  }

  /** The client saw another host at `address`: nobody gets it for a while. False if it is not the client's. */
  decline(client: Client, address: Address, nowS: number): boolean {
    const found = this.owned(client, address, nowS);
    if (!found) return false;
    const { table, row } = found;
    if (row.isHeld) return true;
    this.counters.declined++;
    this.names.release(row.address);
    table.byKey.delete(row.key);
    this.revision++;
    // A quarter of the pool at most: who declines all there is takes nothing from the others.
    const declined = [...table.rows.values()].filter((one) => one.state === 'declined').length;
    if (declined >= Math.max(1, table.dynamicCount >> 2)) {
      table.rows.delete(row.index);
      return true;
    }
    row.key = '';
    row.name = '';
    row.state = 'declined';
    this.setUntil(row, nowS + this.quarantineS);
    return true;
  }

  /** An address for a program that the engine starts: held until `giveBack`. Undefined if there is none. */
  hold(client: Client, isIp6: boolean, nowS: number): Lease | undefined {
    const offered = this.offer(client, isIp6, undefined, nowS);
    return offered && this.holdBound(client, offered.address, nowS);
  }

  /** As `hold`, of an address that the program chose. True as well if it is not leased here; false if another has it. */
  occupy(client: Client, address: Address, nowS: number): boolean {
    const isLeasedHere = (this.tableOf(address)?.numberOf(address) ?? -1) >= 0;
    return !isLeasedHere || this.holdBound(client, address, nowS) !== undefined;
  }

  /** The program with this MAC address ended. */
  giveBack(mac: string, nowS: number): void {
    for (const table of this.tables) {
      for (const row of table?.rows.values() ?? []) {
        if (!row.isHeld || row.mac !== mac) continue;
        row.isHeld = false;
        this.end(table!, row, nowS);
      }
    }
  }

  /** When `expire` has something to do, in wall-clock seconds; infinite if never. */
  deadlineS(): number {
    return this.nextS;
  }

  /** Ends what has run out. Early it does nothing. */
  expire(nowS: number): void {
    if (nowS < this.nextS) return;
    this.nextS = Number.POSITIVE_INFINITY;
    for (const table of this.tables) {
      for (const row of table?.rows.values() ?? []) {
        if (row.state === 'expired' || row.isHeld) continue;
        if (row.untilS > nowS) this.nextS = Math.min(this.nextS, row.untilS);
        else this.lapse(table!, row);
      }
    }
  }

  /** All leases, offers and expired ones among them, by address. */
  list(): Lease[] {
    return this.rows();
  }

  /** All that outlives the process, as text for a file. Programs have their leases until they would run out, unless they are held anew. */
  save(nowS: number): string {
    return writeLeases(
      this.rows()
        .filter((row) => row.sinceS >= 0)
        .map((row) => this.savedOf(row, nowS)),
    );
  }

  /**
   * Takes what `save` wrote into an empty table. What is not of the pools any more is left out. Returns '' or one line for the
   * operator about what was unusable.
   */
  load(text: string, nowS: number): string {
    const { leases, badLines, isForeign } = readLeases(text);
    for (const lease of leases) this.restore(lease, nowS);
    if (isForeign) return 'the lease file is damaged or of another version: starting without leases';
    return badLines === 0
      ? ''
      : `the lease file has ${badLines} damaged ${badLines === 1 ? 'line' : 'lines'}: left out`;
  }
  private holdBound(client: Client, address: Address, nowS: number): Lease | undefined {
    const lease = this.bind(client, address, nowS);
    const table = this.tableOf(address);
    const row = lease && table?.rows.get(table.numberOf(address));
    if (!table || !row) return undefined;
    row.isHeld = true;
    table.setProgram(row, true);
    return row;
  }

  private rows(): Row[] {
    return this.tables.flatMap((table) => [...(table?.rows.values() ?? [])].sort((a, b) => a.index - b.index));
  }

  private tableOf(address: Address): LeaseTable | undefined {
    const isIp4 = address[0] === 0 && address[1] === 0 && address[2] === 0xffff;
    return this.tables[isIp4 ? 0 : 1];
  }

  /** The number for a client, -1 if it gets none. */
  private choose(table: LeaseTable, client: Client, wanted: Address | undefined): number {
    const reserved = table.reservedFor(client);
    if (reserved >= 0) return reserved;
    const own = table.byKey.get(keyOf(client));
    const hasOwn = own !== undefined && table.mayLease(own.index);
    if (hasOwn && own.state !== 'expired') return own.index;
    if (this.isFull(table, client)) return -1;
    const index = hasOwn ? own.index : table.freeFor(client, wanted);
    if (index < 0) this.counters.exhausted++;
    return index;
  }

  private isFull(table: LeaseTable, client: Client): boolean {
    const isFull = table.isFull(client.where, this.perGuestMax);
    if (isFull) this.counters.guestFull++;
    return isFull;
  }

  /** The row of a number for a client; names of what it takes the place of go. */
  private rowFor(table: LeaseTable, index: number, client: Client): Row {
    const key = keyOf(client);
    for (const row of [table.rows.get(index), table.byKey.get(key)]) {
      if (row && (row.key !== key || row.index !== index)) this.names.release(row.address);
    }
    const row = table.rowFor(index, client, table.addressOf(index));
    if (client.mac !== '' && !row.isProgram) row.mac = client.mac;
    return row;
  }

  private owned(client: Client, address: Address, nowS: number): { table: LeaseTable; row: Row } | undefined {
    this.expire(nowS);
    const table = this.tableOf(address);
    const row = table?.byKey.get(keyOf(table.identify(client)));
    if (!table || !row || row.state !== 'bound' || table.numberOf(address) !== row.index) return undefined;
    return { table, row };
  }

  private setUntil(row: Row, untilS: number): void {
    row.untilS = untilS;
    this.nextS = Math.min(this.nextS, untilS);
  }

  private end(table: LeaseTable, row: Row, nowS: number): void {
    table.setProgram(row, false);
    row.state = 'expired';
    row.untilS = nowS;
    this.names.release(row.address);
    this.revision++;
  }

  /** Its time is over. */
  private lapse(table: LeaseTable, row: Row): void {
    if (row.state === 'bound') {
      this.counters.expired++;
      this.end(table, row, row.untilS);
    } else if (row.state === 'offered' && row.sinceS >= 0) row.state = 'expired';
    else table.forget(row);
  }

  private giveName(table: LeaseTable, row: Row, client: Client): void {
    const given = table.givenName(client);
    const wish = given || client.name || row.name;
    row.name = this.names.claim(wish, row.mac || row.where, row.address, given !== '');
  }

  private savedOf(row: Row, nowS: number): SavedLease {
    const { address, client, where, mac, name, sinceS, isProgram } = row;
    const state = row.state === 'offered' ? 'expired' : row.state;
    // Who holds it says so again when the engine is back; until then it is a lease as others are.
    const untilS = row.isHeld ? nowS + this.leaseS : row.untilS;
    return { address, client, where, mac, name, state, isProgram, sinceS, untilS };
  }

  /** A lease of a file, if there is still a place for it. */
  private restore(lease: SavedLease, nowS: number): void {
    const table = this.tableOf(lease.address);
    const index = table?.numberOf(lease.address) ?? -1;
    const client: Client = { id: lease.client, where: lease.where, mac: lease.mac, name: lease.name };
    if (!table || index < 0 || table.rows.has(index) || table.byKey.has(keyOf(client))) return;
    if (!table.mayLease(index) && table.reservedFor(client) !== index) return;
    const row = table.rowFor(index, client, lease.address);
    row.state = lease.state;
    row.name = lease.name;
    row.sinceS = Math.min(lease.sinceS, nowS);
    if (lease.state === 'expired') row.untilS = Math.min(lease.untilS, nowS);
    else this.setUntil(row, Math.min(lease.untilS, nowS + Math.max(this.leaseS, this.quarantineS, LONG_LEASE_S)));
    if (lease.state === 'declined') {
      table.byKey.delete(row.key);
      row.key = '';
    } else if (lease.state === 'bound' && row.untilS > nowS) {
      table.setProgram(row, lease.isProgram);
      this.giveName(table, row, client);
    }
  }
}
