// The DHCPv4 client of one interface: the state machine of RFC 2131 §4.4, figure 5.
//
//            start(address)                start()
//                 ▼                           ▼
//   ┌────── Rebooting ── nothing ─────────▶ Init ◀── Nak, expiry, Decline + 10 s ──────────┐
//   │             │ Nak                       │ Discover                                  │
//   │ Ack         └──────────────────────────▶│                                           │
//   ▼                                         ▼                                           │
//  Bound ◀──────── Ack ───────── Requesting ◀─ Offer ─ Selecting                           │
//   │ ▲ T1                                                                                │
//   ▼ │ Ack          T2                                                                   │
//  Renewing ─────────────▶ Rebinding ────────────────────── lease ends ───────────────────┘
//
// Messages go as whole frames from 0.0.0.0, and come so through `receiveFrame`, as long as there is no address; renewing and
// release go through a datagram socket. An address is given to the host by `use`, which looks for conflicts (RFC 5227) and
// calls `decline` if there is one.

import { Drop } from '../../core/drop.ts';
import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import { duidOf, fqdnBytes } from '../../wire/dhcp6.ts';
import * as ethernet from '../../wire/ethernet.ts';
import { of4 } from '../address.ts';
import type { Output } from '../output.ts';
import { Random } from '../random.ts';
import { type Part, Purpose, type Shared } from '../shared.ts';
import type { DatagramIo } from './datagram-io.ts';
import { broadcast, checkFrame, messageAt, messageBytes } from './dhcp4-frame.ts';
import { isHostAddress, type Lease4, leaseOf } from './dhcp4-lease.ts';

/** Where the client stands. `Ip6Only`: the network asked for no IPv4, RFC 8925. `Waiting` comes before Init. */
export const Dhcp4State = {
  Stopped: 0,
  Waiting: 1,
  Selecting: 2,
  Requesting: 3,
  Bound: 4,
  Renewing: 5,
  Rebinding: 6,
  Rebooting: 7,
  Ip6Only: 8,
} as const;
export type Dhcp4State = (typeof Dhcp4State)[keyof typeof Dhcp4State];

/** The interface that is configured. */
export interface Dhcp4Interface {
  readonly number: number;
  readonly mac: Uint8Array;
  readonly output: Output;
}

/** Who applies what was leased. */
export interface Dhcp4Host {
  /** Called for a new lease and for each renewal, with perhaps other options. A new address is to be looked for first. */
  use(lease: Lease4): void;
  /** The address and all that came with it may not be used any more. */
  forget(lease: Lease4): void;
}

/** How the client names itself, and what it takes. */
export interface Dhcp4Options {
  /** A name with dots is sent as option 81 (RFC 4702), one without as option 12. */
  readonly hostName?: string;
  /** Takes a network's wish for no IPv4, RFC 8925. */
  readonly ip6Only?: boolean;
  /** Longest wait before the first message. */
  readonly startDelayUsMax?: number;
}

// RFC 2131 §4.1: 4, 8, 16, 32, 64 s, each ±1 s.
const RETRY_S = 4;
const RETRY_S_MAX = 64;
const REQUESTS_MAX = 4; // §3.1.5: 60 s in all
const REBOOTS_MAX = 2;
const RENEW_US_MIN = 60 * US_PER_S; // §4.4.5
const DECLINE_WAIT_US = 10 * US_PER_S; // §3.1.5
const IP6_ONLY_S_MIN = 300; // RFC 8925 §3.4, MIN_V6ONLY_WAIT
const SECS_MAX = 0xffff;

// Ours.
// Deviates from RFC 2131 §4.4.1 (1 to 10 s): networks here rarely power up at once, and people wait for them.
const START_DELAY_US_MAX = US_PER_S / 10;
const T1_FUZZ = 64; // of the time until T1
const REPLY_BYTES_MAX = 1500;
const REFUSED_WAIT_US = [US_PER_S, 10 * US_PER_S] as const; // from the second Nak in a row on

const { MessageType, Option } = dhcp4;

// RFC 3442: classless routes before the router option.
const PARAMETERS = [1, 121, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 119];

/** One interface's client. Times and chance are the stack's. */
export class Dhcp4Client implements Part {
  state: Dhcp4State = Dhcp4State.Stopped;
  /** The lease in use; undefined before Bound. */
  lease: Lease4 | undefined;
  private readonly shared: Shared;
  private readonly iface: Dhcp4Interface;
  private readonly io: DatagramIo;
  private readonly host: Dhcp4Host;
  private readonly options: Dhcp4Options;
  private readonly random: Random;
  private readonly clientId: Uint8Array;
  private readonly buffer = new Uint8Array(REPLY_BYTES_MAX);
  private handle = -1;
  private deadline = NEVER; // of the next transmission, or of what the state waits for
  private xid = 0;
  private attempts = 0;
  private refusals = 0; // Naks in a row
  private beganUs = 0; // of `secs`
  private sentUs = 0; // of the request that leases are counted from
  private wanted = 0; // address that is requested
  private server = 0; // whose offer was taken
  private discoverSecs = 0; // §3.1.3: the request repeats what the discover said
  private ackSentUs = 0; // what `lease` counts from
  private ack: Uint8Array = new Uint8Array(0); // the message behind `lease`

  constructor(shared: Shared, iface: Dhcp4Interface, io: DatagramIo, host: Dhcp4Host, options: Dhcp4Options = {}) {
    this.shared = shared;
    this.iface = iface;
    this.io = io;
    this.host = host;
    this.options = options;
    this.random = new Random(shared.secret, Purpose.Dhcp4 + 256 * iface.number);
    // RFC 4361 §6.1: type 255, IAID, DUID.
    this.clientId = Uint8Array.from([255, ...dhcp4.bytes4(iface.number), ...duidOf(iface.mac)]);
  }

  /** Begins. With `address` (a number) the client asks whether it may go on with it: INIT-REBOOT. */
  start(address = 0): void {
    if (this.state !== Dhcp4State.Stopped) return;
    this.refusals = 0;
    this.restart(isHostAddress(address) ? address : 0, [0, this.options.startDelayUsMax ?? START_DELAY_US_MAX]);
  }

  /** Gives the address back (§4.4.6) and ends. */
  stop(): void {
    if (this.lease) this.release(this.lease);
    this.drop();
    this.state = Dhcp4State.Stopped;
    this.deadline = NEVER;
    this.wanted = 0;
  }

  /** The link may lead elsewhere now: verifies the lease, or asks anew. §4.4.2. */
  reconfirm(): void {
    if (this.state === Dhcp4State.Stopped) return;
    const address = this.lease?.address ?? 0;
    this.refusals = 0;
    this.restart(address, [0, 0]);
  }

  /** Somebody else has `address`: says so to the server and begins anew after 10 s. §3.1.5. */
  decline(address: number): void {
    const { lease } = this;
    if (lease?.address !== address) return;
    this.xid = this.random.u32();
    this.sendWhole(0, 0, [
      [Option.MessageType, Uint8Array.of(MessageType.Decline)],
      [Option.ClientId, this.clientId],
      [Option.RequestedAddress, dhcp4.bytes4(address)],
      [Option.ServerId, dhcp4.bytes4(lease.server)],
    ]);
    this.drop();
    this.restart(0, [DECLINE_WAIT_US, DECLINE_WAIT_US]);
  }

  /**
   * A frame that may hold a message for the client. `Drop.NotForUs` if it is something else. `isTrusted`: its UDP checksum is
   * known to be right, or not written yet.
   */
  receiveFrame(iface: number, at: number, length: number, isTrusted = false): Drop {
    const { view } = this.shared;
    if (iface !== this.iface.number || this.state === Dhcp4State.Stopped) return Drop.NotForUs;
    const bad = checkFrame(view, at, length, isTrusted);
    if (bad !== Drop.None) return bad;
    return this.receive(view, messageAt(view, at), messageBytes(view, at));
  }

  /** Reads what came to the socket. */
  poll(): void {
    while (this.handle >= 0) {
      const bytes = this.io.receiveFrom(this.handle, this.buffer);
      if (bytes < 0) return;
      if (this.io.source.port === dhcp4.SERVER_PORT) this.count(this.receive(viewOf(this.buffer), 0, bytes));
    }
  }

  deadlineUs(): number {
    return this.deadline;
  }

  expire(): void {
    if (this.shared.nowUs < this.deadline) return;
    switch (this.state) {
      case Dhcp4State.Waiting:
      case Dhcp4State.Ip6Only:
        this.begin();
        return;
      case Dhcp4State.Selecting:
        this.discover();
        return;
      case Dhcp4State.Requesting:
        if (this.attempts < REQUESTS_MAX) this.request();
        else this.restart(0, [0, 0]);
        return;
      case Dhcp4State.Rebooting:
        if (this.attempts < REBOOTS_MAX) this.request();
        else this.lostContact();
        return;
      case Dhcp4State.Bound:
      case Dhcp4State.Renewing:
      case Dhcp4State.Rebinding:
        this.extend();
        return;
    }
  }

  save(state: StateWriter): void {
    state.section(`stack/dhcp4-client/${this.iface.number}`, 1);
    const { deadline, xid, attempts, refusals, beganUs, sentUs, wanted, server, handle, discoverSecs } = this;
    for (const value of [
      this.state,
      deadline,
      xid,
      attempts,
      refusals,
      beganUs,
      sentUs,
      wanted,
      server,
      handle,
      discoverSecs,
    ]) {
      state.number(value);
    }
    state.column(this.ack);
    state.number(this.lease ? this.lease.expiresUs : 0).number(this.ackSentUs);
    this.random.save(state);
  }

  load(state: StateReader): void {
    state.section(`stack/dhcp4-client/${this.iface.number}`, 1);
    this.state = state.integer(0, Dhcp4State.Ip6Only) as Dhcp4State;
    this.deadline = state.number();
    this.xid = state.integer(0, 0xffffffff);
    this.attempts = state.integer(0, 0xffff);
    this.refusals = state.integer(0, 0xffff);
    this.beganUs = state.number();
    this.sentUs = state.number();
    this.wanted = state.integer(0, 0xffffffff);
    this.server = state.integer(0, 0xffffffff);
    this.handle = state.integer(-1, 2 ** 31 - 1);
    this.discoverSecs = state.integer(0, SECS_MAX);
    this.ack = state.bytes(REPLY_BYTES_MAX);
    const expiresUs = state.number();
    this.ackSentUs = state.number();
    this.random.load(state);
    this.lease = this.ack.length === 0 ? undefined : this.leaseOfAck();
    if ((this.lease?.expiresUs ?? 0) !== expiresUs) throw new StateError('the lease is not that of its message');
  }

  private leaseOfAck(): Lease4 | undefined {
    const view = viewOf(this.ack);
    if (!dhcp4.isMessage(view, 0, this.ack.length)) return undefined;
    const options = dhcp4.readOptions(view, 0, this.ack.length);
    return options && leaseOf(dhcp4.yiaddr(view, 0), options, this.ackSentUs);
  }

  private count(drop: Drop): void {
    if (drop !== Drop.None) this.shared.drops.add(drop);
  }

  /** Begins again after a wait in `[min, max]`, from `address` if that is not 0. A lease in use stays in use meanwhile. */
  private restart(address: number, [min, max]: readonly [number, number]): void {
    this.state = Dhcp4State.Waiting;
    this.wanted = address;
    this.deadline = this.shared.nowUs + this.random.between(min, max);
  }

  private begin(): void {
    this.attempts = 0;
    this.xid = this.random.u32();
    this.beganUs = this.shared.nowUs;
    this.sentUs = this.shared.nowUs;
    if (this.wanted === 0) {
      this.state = Dhcp4State.Selecting;
      this.discover();
    } else {
      this.state = Dhcp4State.Rebooting;
      this.request();
    }
  }

  private discover(): void {
    this.discoverSecs = this.secs();
    this.sendWhole(this.discoverSecs, 0, this.described(MessageType.Discover));
    this.retry();
  }

  /** §4.3.2: the address as option 50; the server only if an offer was taken. */
  private request(): void {
    const options = this.described(MessageType.Request);
    options.push([Option.RequestedAddress, dhcp4.bytes4(this.wanted)]);
    const isOffered = this.state === Dhcp4State.Requesting;
    if (isOffered) options.push([Option.ServerId, dhcp4.bytes4(this.server)]);
    this.sendWhole(isOffered ? this.discoverSecs : this.secs(), 0, options);
    this.retry();
  }

  /** No server answered in INIT-REBOOT. §3.2.3: a lease that has not ended may be used. */
  private lostContact(): void {
    const { lease } = this;
    if (lease && lease.expiresUs > this.shared.nowUs) {
      this.bound(lease);
      return;
    }
    this.drop();
    this.restart(0, [0, 0]);
  }

  /** §4.4.5: Renewing by unicast from T1, Rebinding by broadcast from T2, until the lease ends. */
  private extend(): void {
    const lease = this.lease!;
    const { nowUs } = this.shared;
    if (nowUs >= lease.expiresUs) {
      this.drop();
      this.restart(0, [0, 0]);
      return;
    }
    if (this.state === Dhcp4State.Bound) this.beganUs = nowUs;
    this.state = nowUs >= lease.t2Us ? Dhcp4State.Rebinding : Dhcp4State.Renewing;
    this.xid = this.random.u32(); // a number each, so that an answer says from when its lease counts
    this.sentUs = nowUs;
    const options = this.described(MessageType.Request);
    const isUnicast = this.state === Dhcp4State.Renewing;
    if (isUnicast) this.sendTo(lease, this.build(this.secs(), lease.address, options));
    else this.sendWhole(this.secs(), lease.address, options);
    const endUs = isUnicast ? lease.t2Us : lease.expiresUs;
    this.deadline = Math.min(endUs, nowUs + Math.max(RENEW_US_MIN, Math.floor((endUs - nowUs) / 2)));
  }

  private release(lease: Lease4): void {
    this.xid = this.random.u32();
    const options: [number, Uint8Array][] = [
      [Option.MessageType, Uint8Array.of(MessageType.Release)],
      [Option.ClientId, this.clientId],
      [Option.ServerId, dhcp4.bytes4(lease.server)],
    ];
    this.sendTo(lease, this.build(0, lease.address, options));
  }

  /** §4.1: doubling waits, each with ±1 s of chance. */
  private retry(): void {
    const seconds = Math.min(RETRY_S_MAX, RETRY_S << Math.min(this.attempts, 4));
    this.attempts = Math.min(this.attempts + 1, 0xffff);
    this.deadline = this.shared.nowUs + this.random.between((seconds - 1) * US_PER_S, (seconds + 1) * US_PER_S);
  }

  private secs(): number {
    return Math.min(SECS_MAX, Math.floor((this.shared.nowUs - this.beganUs) / US_PER_S));
  }

  /** The options of a discover or request: what it is, who we are, what we want to know. */
  private described(type: number): [number, Uint8Array][] {
    const { hostName = '', ip6Only = false } = this.options;
    const parameters = ip6Only ? [...PARAMETERS, Option.Ip6Only] : PARAMETERS;
    const options: [number, Uint8Array][] = [
      [Option.MessageType, Uint8Array.of(type)],
      [Option.ClientId, this.clientId],
      [Option.MessageBytesMax, Uint8Array.of(REPLY_BYTES_MAX >>> 8, REPLY_BYTES_MAX & 255)],
      [Option.ParameterList, Uint8Array.from(parameters)],
    ];
    // RFC 4702 §3.1: one of the two; E and S are set, the codes are 0.
    if (hostName.includes('.')) options.push([Option.Fqdn, Uint8Array.from([5, 0, 0, ...fqdnBytes(hostName)])]);
    else if (hostName !== '') options.push([Option.HostName, new TextEncoder().encode(hostName)]);
    return options;
  }

  private build(secs: number, ciaddr: number, options: readonly [number, Uint8Array][]): Uint8Array {
    const { xid } = this;
    const fields = { op: dhcp4.Op.Request, xid, secs, flags: 0, ciaddr, yiaddr: 0, siaddr: 0, giaddr: 0 };
    return dhcp4.buildMessage({ ...fields, mac: this.iface.mac }, options);
  }

  private sendWhole(secs: number, ciaddr: number, options: readonly [number, Uint8Array][]): void {
    const message = this.build(secs, ciaddr, options);
    this.count(broadcast(this.shared, this.iface.output, this.iface.mac, ciaddr, message));
  }

  /** To the server itself; what cannot be sent now is sent again later. */
  private sendTo(lease: Lease4, message: Uint8Array): void {
    if (this.handle >= 0) this.io.sendTo(this.handle, message, of4(lease.server), dhcp4.SERVER_PORT);
  }

  private receive(view: DataView, at: number, bytes: number): Drop {
    if (bytes > REPLY_BYTES_MAX || !dhcp4.isMessage(view, at, bytes)) return Drop.UdpLength;
    if (dhcp4.op(view, at) !== dhcp4.Op.Reply || dhcp4.xid(view, at) !== this.xid) return Drop.Filtered;
    const mac = dhcp4.chaddrAt(at);
    for (let i = 0; i < ethernet.MAC_BYTES; i++) if (view.getUint8(mac + i) !== this.iface.mac[i]) return Drop.Filtered;
    const options = dhcp4.readOptions(view, at, bytes);
    if (!options) return Drop.UdpLength;
    // RFC 6842 §3: a reply with another client's identifier is not ours.
    const id = options.get(Option.ClientId);
    if (id && !sameBytes(id, this.clientId)) return Drop.Filtered;
    return this.take(view, at, bytes, options);
  }

  private take(view: DataView, at: number, bytes: number, options: dhcp4.Options): Drop {
    const type = dhcp4.numberOf(options.get(Option.MessageType), 1);
    if (type === MessageType.Offer && this.state === Dhcp4State.Selecting) {
      return this.takeOffer(dhcp4.yiaddr(view, at), options);
    }
    const { state } = this;
    const isAsking =
      state === Dhcp4State.Requesting ||
      state === Dhcp4State.Renewing ||
      state === Dhcp4State.Rebinding ||
      state === Dhcp4State.Rebooting;
    if (!isAsking) return Drop.Filtered;
    const server = dhcp4.numberOf(options.get(Option.ServerId), 4);
    if (state === Dhcp4State.Requesting && server !== this.server) return Drop.Filtered;
    if (type === MessageType.Nak) return this.takeNak();
    if (type !== MessageType.Ack) return Drop.Filtered;
    if (this.mustPause(options)) return Drop.None;
    const lease = leaseOf(dhcp4.yiaddr(view, at), options, this.sentUs);
    if (!lease) return Drop.UdpLength;
    this.ack = new Uint8Array(view.buffer, view.byteOffset + at, bytes).slice();
    this.ackSentUs = this.sentUs;
    this.refusals = 0;
    if (this.lease && this.lease.address !== lease.address) this.host.forget(this.lease);
    this.bound(lease);
    this.host.use(lease);
    return Drop.None;
  }

  /** The first offer that holds a lease is taken. §4.4.1. */
  private takeOffer(address: number, options: dhcp4.Options): Drop {
    if (this.mustPause(options)) return Drop.None;
    const offer = leaseOf(address, options, this.shared.nowUs);
    if (!offer) return Drop.UdpLength;
    this.state = Dhcp4State.Requesting;
    this.attempts = 0;
    this.wanted = address;
    this.server = offer.server;
    this.sentUs = this.shared.nowUs; // §4.4.1: leases count from the request
    this.request();
    return Drop.None;
  }

  private takeNak(): Drop {
    this.drop();
    this.refusals = Math.min(this.refusals + 1, 0xffff);
    this.restart(0, this.refusals > 1 ? REFUSED_WAIT_US : [0, 0]);
    return Drop.None;
  }

  /** RFC 8925 §3.2: the network wants no IPv4 of us; asks again after the time that it says. */
  private mustPause(options: dhcp4.Options): boolean {
    const seconds = this.options.ip6Only ? dhcp4.numberOf(options.get(Option.Ip6Only), 4) : undefined;
    if (seconds === undefined) return false;
    this.drop();
    this.state = Dhcp4State.Ip6Only;
    this.wanted = 0;
    this.deadline = this.shared.nowUs + Math.max(IP6_ONLY_S_MIN, seconds) * US_PER_S;
    return true;
  }

  private bound(lease: Lease4): void {
    this.state = Dhcp4State.Bound;
    this.lease = lease;
    this.wanted = lease.address;
    // §4.4.5: with some chance, so that clients that began together do not stay together.
    const leftUs = lease.t1Us - this.shared.nowUs;
    this.deadline = lease.t1Us - (leftUs > 0 && leftUs < NEVER ? this.random.below(Math.floor(leftUs / T1_FUZZ)) : 0);
    if (this.handle < 0) {
      this.handle = this.io.open({ isIp6: false, port: dhcp4.CLIENT_PORT, iface: this.iface.number });
    }
  }

  private drop(): void {
    if (this.handle >= 0) this.io.close(this.handle);
    this.handle = -1;
    const { lease } = this;
    this.lease = undefined;
    this.ack = new Uint8Array(0);
    if (lease) this.host.forget(lease);
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
