// The DHCPv4 server: RFC 2131 §4.3, rapid commit RFC 4039, and BOOTP clients, RFC 1534.
//
// It is authoritative: what is wrong on its network is answered with NAK, also by broadcast, so that clients which come from
// another network begin anew at once. A client that has no lease here and wants one that is free gets it (deviates from §4.3.2,
// which wants silence): the server may have lost its file, the client did not.
//
// Answers to clients without an address are frames to their hardware address and the address that they get, unless the
// client's broadcast flag is set (§4.1). Answers to clients with one go to `ciaddr` at the hardware address that they named:
// nothing is resolved, so that no answer waits for ARP. What a relay sent goes back to it, if it is on the network itself.

import { UsageError } from '../core/assert.ts';
import { errnoName, Family, MessageFlag, SocketOption, SocketType, type SocketUser } from '../stack/stack.ts';
import * as dhcp4 from '../wire/dhcp4.ts';
import { number4, words4 } from './bytes-text.ts';
import type { DhcpParts } from './dhcp-parts.ts';
import type { Settings4 } from './dhcp-settings.ts';
import { answerFrame } from './dhcp4-frame.ts';
import { type Answer4, answerOptions, bootFields, bootFor, commonOptions } from './dhcp4-options.ts';
import { messageBytesMax, type Request4, readRequest } from './dhcp4-request.ts';
import { type Lease, LONG_LEASE_S } from './leases.ts';

const { MessageType, Option } = dhcp4;
const MESSAGE_BYTES_MAX = 1472;
const EVERYBODY = Uint8Array.of(255, 255, 255, 255, 255, 255);
const BROADCAST = 0xffffffff;
const NOTHING = { leaseS: 0, name: '', isRapid: false, message: '' };

/** The DHCPv4 server of an interface. */
export class Dhcp4Server implements SocketUser {
  /** Its socket. */
  readonly handle: number;
  private readonly parts: DhcpParts;
  private readonly settings: Settings4;
  private readonly server: number;
  private readonly common: ReadonlyMap<number, Uint8Array>;
  private readonly buffer = new Uint8Array(MESSAGE_BYTES_MAX);

  /** Throws `UsageError` if its port is taken. */
  constructor(parts: DhcpParts, settings: Settings4) {
    this.parts = parts;
    this.settings = settings;
    this.server = number4(settings.server);
    this.common = commonOptions(parts.settings, settings);
    this.handle = this.open();
    parts.stack.sockets.claim(this.handle, this);
  }

  /** Something came: takes all that waits. */
  changed(): void {
    const { sockets } = this.parts.stack;
    for (;;) {
      const bytes = sockets.receiveFrom(this.handle, this.buffer, 0, MESSAGE_BYTES_MAX, MessageFlag.Truncate);
      if (bytes < 0) return;
      const request = bytes <= MESSAGE_BYTES_MAX ? readRequest(this.buffer.subarray(0, bytes)) : undefined;
      if (request) this.take(request);
      else this.parts.counters.malformed++;
    }
  }

  close(): void {
    this.parts.stack.sockets.close(this.handle);
  }

  private open(): number {
    const { stack, iface } = this.parts;
    const { sockets } = stack;
    const h = sockets.socket(Family.Inet, SocketType.Datagram);
    if (h < 0) throw new UsageError(`DHCP cannot be served: ${errnoName(h)}`);
    sockets.setOption(h, SocketOption.Device, iface);
    const failed = sockets.bind(h, words4(0), dhcp4.SERVER_PORT, iface);
    if (failed >= 0) return h;
    sockets.close(h);
    throw new UsageError(`DHCP cannot be served: ${errnoName(failed)} at UDP port 67; is there another server?`);
  }

  private take(request: Request4): void {
    const { counters, leases } = this.parts;
    if (request.giaddr !== 0 && !leases.isOnLink(words4(request.giaddr))) {
      counters.notForUs++;
      return;
    }
    counters.requests4++;
    const { type } = request;
    if (type === 0) this.bootp(request);
    else if (type === MessageType.Discover) this.discover(request);
    else if (type === MessageType.Request) this.request(request);
    else if (type === MessageType.Decline || type === MessageType.Release) this.giveUp(request);
    else if (type === MessageType.Inform) this.inform(request);
    else counters.notForUs++;
  }

  private discover(request: Request4): void {
    const { leases, nowS } = this.parts;
    const wanted = request.requested === 0 ? undefined : words4(request.requested);
    const lease = leases.offer(request.client, false, wanted, nowS());
    if (!lease) this.parts.counters.silent++;
    else if (request.options.has(Option.RapidCommit)) this.bind(request, number4(lease.address), true);
    else this.reply(request, { ...NOTHING, type: MessageType.Offer, leaseS: leases.leaseS, name: lease.name }, lease);
  }

  /** RFC 2131 §4.3.2: SELECTING has a server identifier, INIT-REBOOT the requested address, the others `ciaddr`. */
  private request(request: Request4): void {
    const { serverId, requested, ciaddr } = request;
    if (serverId !== undefined && serverId !== this.server) {
      this.parts.counters.notForUs++;
      return;
    }
    const address = serverId !== undefined || ciaddr === 0 ? requested || ciaddr : ciaddr;
    if (address === 0) this.parts.counters.malformed++;
    else this.bind(request, address, false);
  }

  private bind(request: Request4, address: number, isRapid: boolean): void {
    const { leases, nowS } = this.parts;
    const standing = leases.standing(request.client, words4(address), nowS());
    const lease = leases.bind(request.client, words4(address), nowS());
    if (lease) {
      const { name } = lease;
      this.reply(request, { ...NOTHING, type: MessageType.Ack, leaseS: leases.leaseS, name, isRapid }, lease);
      return;
    }
    this.parts.counters.naks++;
    const message = standing === 'away' ? 'not an address of this network' : 'the address is not yours';
    this.reply(request, { ...NOTHING, type: MessageType.Nak, message }, undefined);
  }

  private giveUp(request: Request4): void {
    const { leases, nowS, counters } = this.parts;
    const { type, serverId, client, requested, ciaddr } = request;
    const isRelease = type === MessageType.Release;
    const address = words4(isRelease ? ciaddr : requested);
    const isOurs = serverId === undefined || serverId === this.server;
    const isDone =
      isOurs && (isRelease ? leases.release(client, address, nowS()) : leases.decline(client, address, nowS()));
    if (!isDone) counters.notForUs++;
  }

  /** RFC 2131 §4.3.5: the client has an address of its own, and wants the rest. */
  private inform(request: Request4): void {
    const isHere = request.ciaddr !== 0 && this.parts.leases.isOnLink(words4(request.ciaddr));
    if (isHere) this.reply(request, { ...NOTHING, type: MessageType.Ack }, undefined);
    else this.parts.counters.notForUs++;
  }

  private bootp(request: Request4): void {
    const { leases, nowS, counters } = this.parts;
    counters.bootp++;
    const wanted = request.ciaddr === 0 ? undefined : words4(request.ciaddr);
    const offered = leases.offer(request.client, false, wanted, nowS());
    const lease = offered && leases.bind(request.client, offered.address, nowS(), LONG_LEASE_S);
    if (lease) this.reply(request, { ...NOTHING, type: 0, name: lease.name }, lease);
    else counters.silent++;
  }

  private reply(request: Request4, answer: Answer4, lease: Lease | undefined): void {
    const { xid, flags, giaddr, mac, hasCookie } = request;
    const isNak = answer.type === MessageType.Nak;
    const boot = isNak ? undefined : bootFor(request, this.settings.boot);
    const about = { server: this.server, domain: this.parts.settings.domain, boot: this.settings.boot };
    const options = answerOptions(request, answer, this.common, about, messageBytesMax(request));
    const message = dhcp4.buildMessage(
      {
        op: dhcp4.Op.Reply,
        xid,
        secs: 0,
        // RFC 2131 §4.3.2: a relay must broadcast a NAK.
        flags: isNak && giaddr !== 0 ? flags | dhcp4.BROADCAST : flags,
        ciaddr: isNak ? 0 : request.ciaddr,
        yiaddr: lease ? number4(lease.address) : 0,
        siaddr: boot?.server ? number4(boot.server) : 0,
        giaddr,
        mac,
        hasOptions: hasCookie,
        ...bootFields(boot),
      },
      hasCookie ? options : [],
    );
    const isSent = giaddr !== 0 ? this.toRelay(message, giaddr) : this.toClient(message, request, lease, isNak);
    if (isSent) this.parts.counters.replies4++;
    else this.parts.counters.unsent++;
  }

  private toRelay(message: Uint8Array, giaddr: number): boolean {
    const { sockets } = this.parts.stack;
    return sockets.sendTo(this.handle, message, 0, message.length, words4(giaddr), dhcp4.SERVER_PORT) >= 0;
  }

  private toClient(message: Uint8Array, request: Request4, lease: Lease | undefined, isNak: boolean): boolean {
    const { stack, iface } = this.parts;
    const link = stack.interfaces.get(iface);
    if (!link) return false;
    const own = lease ? number4(lease.address) : 0;
    const isToAll = isNak || (request.ciaddr === 0 && (request.flags & dhcp4.BROADCAST) !== 0);
    const frame = answerFrame(message, {
      sourceMac: link.mac,
      source: this.server,
      targetMac: isToAll ? EVERYBODY : request.mac,
      target: isToAll ? BROADCAST : request.ciaddr || own,
    });
    // Open for this frame only: an open packet socket is shown all frames.
    const h = stack.sockets.socket(Family.Packet, SocketType.Raw);
    if (h < 0) return false;
    const sent = stack.sockets.sendTo(h, frame, 0, frame.length, words4(0), 0, iface);
    stack.sockets.close(h);
    return sent >= 0;
  }
}
