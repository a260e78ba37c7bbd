// The DHCPv6 server: RFC 8415 §18.3 for addresses (IA_NA) and other configuration. Prefixes and temporary addresses are
// refused by their status.
//
// Who renews an address that this server cannot give gets another one in the same answer, and lifetimes of 0 for the former
// (§18.3.4, §18.3.5). A client that has no lease here and names an address that is free gets it: the server may have lost its
// file. Answers go to the client's link-local address; what comes from any other is dropped.

import { UsageError } from '../core/assert.ts';
import { NONE } from '../core/slab.ts';
import {
  type Address,
  errnoName,
  Family,
  formatAddress,
  GroupChange,
  MessageFlag,
  parseAddress,
  SocketOption,
  SocketType,
  type SocketUser,
} from '../stack/stack.ts';
import { viewOf } from '../wire/bytes.ts';
import * as dhcp6 from '../wire/dhcp6.ts';
import { bytes16, hexOf, macText, words16 } from './bytes-text.ts';
import type { DhcpParts } from './dhcp-parts.ts';
import type { Settings6 } from './dhcp-settings.ts';
import { addName, addWanted, commonOptions, nameOf } from './dhcp6-options.ts';
import { identifierOf, isForOneServer, type Request6, readRequest } from './dhcp6-request.ts';
import type { Client, Lease } from './leases.ts';

const { MessageType, Option, Status } = dhcp6;
const MESSAGE_BYTES_MAX = 1452;
const SERVERS = parseAddress('ff02::1:2')!;
const ANY = parseAddress('::')!;
const PREFERENCE = 255;
const REFRESH_S_MIN = 600; // IRT_MINIMUM, §7.6
const MAC_BYTES = 64; // of the slab, its least

/** Who sent a request. */
interface From {
  readonly address: Address;
  readonly where: string;
  readonly mac: string;
}

/** The DHCPv6 server of an interface. */
export class Dhcp6Server implements SocketUser {
  /** Its socket. */
  readonly handle: number;
  private readonly parts: DhcpParts;
  private readonly settings: Settings6;
  private readonly duid: Uint8Array;
  private readonly duidHex: string;
  private readonly common: ReadonlyMap<number, readonly number[]>;
  private readonly buffer = new Uint8Array(MESSAGE_BYTES_MAX);
  private readonly macAt: number;

  /** Throws `UsageError` if its port is taken. */
  constructor(parts: DhcpParts, settings: Settings6) {
    this.parts = parts;
    this.settings = settings;
    const { stack, iface } = parts;
    this.duid = dhcp6.duidOf(stack.interfaces.get(iface)!.mac);
    this.duidHex = hexOf(this.duid);
    this.common = commonOptions(parts.settings, settings);
    this.handle = this.open();
    stack.sockets.claim(this.handle, this);
    this.macAt = stack.shared.slab.alloc(MAC_BYTES);
  }

  /** Something came: takes all that waits. */
  changed(): void {
    const { sockets } = this.parts.stack;
    for (;;) {
      const bytes = sockets.receiveFrom(this.handle, this.buffer, 0, MESSAGE_BYTES_MAX, MessageFlag.Truncate);
      if (bytes < 0) return;
      this.take(bytes, sockets.message.source.slice(), sockets.message.target[0]! >>> 24 === 0xff);
    }
  }

  close(): void {
    const { sockets, shared } = this.parts.stack;
    sockets.close(this.handle);
    if (this.macAt !== NONE) shared.slab.release(this.macAt, MAC_BYTES);
  }

  private open(): number {
    const { stack, iface } = this.parts;
    const { sockets } = stack;
    const h = sockets.socket(Family.Inet6, SocketType.Datagram);
    if (h < 0) throw new UsageError(`DHCPv6 cannot be served: ${errnoName(h)}`);
    sockets.setOption(h, SocketOption.Device, iface);
    sockets.setOption(h, SocketOption.V6Only, 1);
    let failed = sockets.bind(h, ANY, dhcp6.SERVER_PORT, iface);
    if (failed >= 0) failed = sockets.changeGroup(h, GroupChange.Join, SERVERS, iface);
    if (failed >= 0) return h;
    sockets.close(h);
    throw new UsageError(`DHCPv6 cannot be served: ${errnoName(failed)} at UDP port 547; is there another server?`);
  }

  private take(bytes: number, address: Address, isToGroup: boolean): void {
    const { counters, leases } = this.parts;
    const isFromHere = address[0]! >>> 22 === 0xfe80_0000 >>> 22;
    const isWhole = bytes <= MESSAGE_BYTES_MAX;
    const read = isWhole && readRequest(this.buffer.subarray(0, bytes), (duid) => hexOf(duid) === this.duidHex);
    if (!read || read === 'malformed') {
      counters.malformed++;
      return;
    }
    // Without addresses to give, other configuration is all there is.
    const isInformation = read !== 'elsewhere' && read.type === MessageType.InformationRequest;
    const isServed = isInformation || leases.serves(true);
    if (read === 'elsewhere' || !isFromHere || !isServed || (!isToGroup && !isForOneServer(read.type))) {
      counters.notForUs++;
      return;
    }
    counters.requests6++;
    const from = { address, where: formatAddress(address), mac: this.macOf(address) };
    if (!isToGroup) this.send(from, this.begin(read, MessageType.Reply, Status.UseMulticast));
    else this.answer(read, from);
  }

  private answer(request: Request6, from: From): void {
    const { type } = request;
    if (type === MessageType.Solicit) this.solicit(request, from);
    else if (type === MessageType.Confirm) this.confirm(request, from);
    else if (type === MessageType.InformationRequest) this.inform(request, from);
    else if (type === MessageType.Release || type === MessageType.Decline) this.giveUp(request, from);
    else this.assign(request, from);
  }

  /** §18.3.1 and §18.3.9. */
  private solicit(request: Request6, from: From): void {
    const { leases, nowS } = this.parts;
    const isBound = request.isRapid;
    const out = this.begin(request, isBound ? MessageType.Reply : MessageType.Advertise);
    if (isBound) out.option(Option.RapidCommit);
    else out.option(Option.Preference, [this.settings.preference ?? PREFERENCE]);
    let name = '';
    for (const ia of request.ias) {
      const client = clientOf(request, from, ia.iaid);
      const wanted = ia.addresses[0] && wordsOf(ia.addresses[0].address);
      const offered = leases.offer(client, true, wanted, nowS());
      const lease = offered && isBound ? leases.bind(client, offered.address, nowS()) : offered;
      if (lease) this.putIa(out, ia.iaid, lease, []);
      else this.refuse(out, Option.IaNa, ia.iaid, Status.NoAddrsAvail);
      if (lease && isBound) name ||= lease.name;
    }
    this.finish(out, request, from, name);
  }

  /** Request, Renew and Rebind: §18.3.2, §18.3.4, §18.3.5. */
  private assign(request: Request6, from: From): void {
    const out = this.begin(request, MessageType.Reply);
    const isRequest = request.type === MessageType.Request;
    let name = '';
    for (const ia of request.ias) {
      const wanted = ia.addresses.map(({ address }) => wordsOf(address));
      const isAway = wanted.some((address) => !this.parts.leases.isOnLink(address));
      const lease = isRequest && isAway ? undefined : this.leaseFor(clientOf(request, from, ia.iaid), wanted);
      const status = isRequest ? (isAway ? Status.NotOnLink : Status.NoAddrsAvail) : Status.NoBinding;
      if (lease) this.putIa(out, ia.iaid, lease, isRequest ? [] : wanted);
      else this.refuse(out, Option.IaNa, ia.iaid, status);
      if (lease) name ||= lease.name;
    }
    this.finish(out, request, from, name);
  }

  /** The address that a client gets which names some: the first of them that it may have, else another. */
  private leaseFor(client: Client, wanted: readonly Address[]): Lease | undefined {
    const { leases, nowS } = this.parts;
    for (const address of wanted) {
      const lease = leases.bind(client, address, nowS());
      if (lease) return lease;
    }
    const offered = leases.offer(client, true, undefined, nowS());
    return offered && leases.bind(client, offered.address, nowS());
  }

  /** §18.3.3: silence if it names no address. */
  private confirm(request: Request6, from: From): void {
    const addresses = request.ias.flatMap((ia) => ia.addresses);
    if (addresses.length === 0) {
      this.parts.counters.malformed++;
      return;
    }
    const isRight = addresses.every(({ address }) => this.parts.leases.isOnLink(wordsOf(address)));
    this.send(from, this.begin(request, MessageType.Reply, isRight ? Status.Success : Status.NotOnLink));
  }

  /** Release and Decline: §18.3.7, §18.3.8. */
  private giveUp(request: Request6, from: From): void {
    const { leases, nowS } = this.parts;
    const isRelease = request.type === MessageType.Release;
    const out = this.begin(request, MessageType.Reply, Status.Success);
    for (const ia of request.ias) {
      const client = clientOf(request, from, ia.iaid);
      let isKnown = ia.addresses.length > 0;
      for (const one of ia.addresses) {
        const address = wordsOf(one.address);
        const isDone = isRelease ? leases.release(client, address, nowS()) : leases.decline(client, address, nowS());
        isKnown &&= isDone;
      }
      if (!isKnown) this.refuse(out, Option.IaNa, ia.iaid, Status.NoBinding);
    }
    this.send(from, out);
  }

  /** §18.3.6. */
  private inform(request: Request6, from: From): void {
    const out = this.begin(request, MessageType.Reply);
    if (request.wanted?.includes(Option.InformationRefreshTime)) {
      const seconds = Math.max(REFRESH_S_MIN, this.parts.leases.leaseS);
      out.begin(Option.InformationRefreshTime).u32(seconds).end();
    }
    addWanted(out, request, this.common);
    this.send(from, out);
  }

  private begin(request: Request6, type: number, status?: number): dhcp6.Dhcp6Writer {
    const out = new dhcp6.Dhcp6Writer(type, request.xid);
    if (request.duid.length > 0) out.option(Option.ClientId, request.duid);
    out.option(Option.ServerId, this.duid);
    if (status !== undefined) out.begin(Option.StatusCode).u16(status).end();
    return out;
  }

  /** An IA_NA with a lease, and with `others` that the client is to stop using. */
  private putIa(out: dhcp6.Dhcp6Writer, iaid: number, lease: Lease, others: readonly Address[]): void {
    const { leaseS } = this.parts.leases;
    out.begin(Option.IaNa).u32(iaid);
    out.u32(Math.floor(leaseS / 2)).u32(Math.floor((leaseS * 4) / 5)); // §21.4
    putAddress(out, lease.address, leaseS);
    const own = formatAddress(lease.address);
    for (const address of others) if (formatAddress(address) !== own) putAddress(out, address, 0);
    out.end();
  }

  /** An identity association that gets nothing: IA_NA and IA_PD have two times, IA_TA has none. */
  private refuse(out: dhcp6.Dhcp6Writer, code: number, iaid: number, status: number): void {
    this.parts.counters.refused6++;
    out.begin(code).u32(iaid);
    if (code !== Option.IaTa) out.u32(0).u32(0);
    out.begin(Option.StatusCode).u16(status).end().end();
  }

  private finish(out: dhcp6.Dhcp6Writer, request: Request6, from: From, name: string): void {
    for (const { code, iaid } of request.unserved) {
      this.refuse(out, code, iaid, code === Option.IaPd ? Status.NoPrefixAvail : Status.NoAddrsAvail);
    }
    addName(out, request, name, this.parts.settings.domain);
    addWanted(out, request, this.common);
    this.send(from, out);
  }

  private send(from: From, out: dhcp6.Dhcp6Writer): void {
    const { stack, iface, counters } = this.parts;
    const bytes = out.finish();
    const { sockets } = stack;
    const sent = sockets.sendTo(this.handle, bytes, 0, bytes.length, from.address, dhcp6.CLIENT_PORT, iface);
    if (sent >= 0) counters.replies6++;
    else counters.unsent++;
  }

  /** The MAC address of a client: as neighbour discovery knows it, else as its address is made of it (RFC 4291 Appendix A). */
  private macOf(address: Address): string {
    const { stack, iface } = this.parts;
    const { neighbors } = stack.autoconf;
    const n = neighbors.lookup(iface, address);
    if (n >= 0 && neighbors.isUsable(n) && this.macAt !== NONE) {
      neighbors.writeMac(n, this.macAt);
      return macText(stack.shared.bytes.slice(this.macAt, this.macAt + 6));
    }
    const b = bytes16(address);
    if (b[11] !== 0xff || b[12] !== 0xfe) return '';
    return macText(Uint8Array.of(b[8]! ^ 2, b[9]!, b[10]!, b[13]!, b[14]!, b[15]!));
  }
}

const wordsOf = (bytes: Uint8Array): Address => words16(viewOf(bytes), 0);

const clientOf = (request: Request6, { where, mac }: From, iaid: number): Client => ({
  id: identifierOf(request.duid, iaid),
  where,
  mac,
  name: nameOf(request),
});

function putAddress(out: dhcp6.Dhcp6Writer, address: Address, seconds: number): void {
  out.begin(Option.IaAddress).bytes(bytes16(address)).u32(seconds).u32(seconds).end();
}
