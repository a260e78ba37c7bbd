// The DHCPv6 client of one interface: RFC 8415 §18.2, one IA_NA, or other configuration only.
//
//   start(Stateful)  ▶ Waiting ▶ Soliciting ▶ Requesting ▶ Bound ▶ Renewing ▶ Rebinding ─▶ (Soliciting)
//                                     └─ rapid commit ───────▲  ▲                │
//                          reconfirm() ▶ Confirming ─────────┘  └─── Reply ──────┘
//   start(Stateless) ▶ Waiting ▶ Informing ▶ Informed ▶ (Informing)
//   stop() ▶ Releasing ▶ Stopped         decline() ▶ Declining ▶ Bound or Soliciting
//
// Everything goes to All_DHCP_Relay_Agents_and_Servers through a datagram socket of the interface. Reconfigure is not accepted,
// and not offered, so no server may send it (§18.3.11).

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../../core/time.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import { type Address, equal, parse, write6 } from '../address.ts';
import { Random } from '../random.ts';
import { type Part, Purpose, type Shared } from '../shared.ts';
import type { DatagramIo } from './datagram-io.ts';
import {
  ADDRESSES_MAX,
  dnsServersOf,
  type Lease6,
  type LeasedAddress,
  mergeAddresses,
  searchOf,
  timesOf,
} from './dhcp6-lease.ts';
import { nextWait, SCHEDULES } from './dhcp6-retry.ts';
import { Dhcp6State, EXCHANGES, NAMES_SERVER } from './dhcp6-state.ts';

/** Who applies what was leased. */
export interface Dhcp6Host {
  /** New or renewed addresses, which are to be looked for first, or other configuration. */
  use(lease: Lease6): void;
  /** The address may not be used any more. */
  forget(address: Address): void;
}

/** Who the client is. */
export interface Dhcp6Options {
  /** DUID, at most 130 bytes (§11.1); without it DUID-LL of the hardware address. */
  readonly duid?: Uint8Array;
  /** Sent as option 39, RFC 4704. */
  readonly hostName?: string;
  /** Takes two messages instead of four where the server does so too, §18.2.1. */
  readonly rapidCommit?: boolean;
}

// §7.6.
const DELAY_US_MAX = US_PER_S; // SOL_MAX_DELAY, CNF_MAX_DELAY, INF_MAX_DELAY
const REFRESH_S_DEFAULT = 86400; // IRT_DEFAULT
const REFRESH_S_MIN = 600; // IRT_MINIMUM
const MAX_RT_S = { min: 60, max: 86400, initial: 3600 }; // §21.24, §21.25
const PREFERENCE_MAX = 255;
const DUID_BYTES_MAX = 130;
const SERVERS = parse('ff02::1:2')!;

// Ours.
const REPLY_BYTES_MAX = 1500;

const { MessageType, Option, Status } = dhcp6;

/** One interface's client. */
export class Dhcp6Client implements Part {
  state: Dhcp6State = Dhcp6State.Stopped;
  /** Malformed messages, and those that are not for this client now. */
  ignored = 0;
  private readonly shared: Shared;
  private readonly iface: number;
  private readonly io: DatagramIo;
  private readonly host: Dhcp6Host;
  private readonly options: Dhcp6Options;
  private readonly random: Random;
  private readonly duid: Uint8Array;
  private readonly buffer = new Uint8Array(REPLY_BYTES_MAX);
  private handle = -1;
  private next: Dhcp6State = Dhcp6State.Stopped; // what Waiting is for
  private xid = 0;
  private attempts = 0;
  private waitUs = 0; // the last RT
  private beganUs = 0; // of the exchange
  private deadline = NEVER;
  private t1Us = NEVER;
  private t2Us = NEVER;
  private solMaxS = MAX_RT_S.initial;
  private infMaxS = MAX_RT_S.initial;
  private server: Uint8Array = new Uint8Array(0);
  private preference = -1; // of the best Advertise, -1 before one
  private addresses: LeasedAddress[] = []; // leased, or offered while soliciting and requesting
  private declined: Address[] = []; // what Release and Decline name
  private dnsServers: Address[] = [];
  private search: string[] = [];

  constructor(
    shared: Shared,
    iface: { readonly number: number; readonly mac: Uint8Array },
    io: DatagramIo,
    host: Dhcp6Host,
    options: Dhcp6Options = {},
  ) {
    this.shared = shared;
    this.iface = iface.number;
    this.io = io;
    this.host = host;
    this.options = options;
    this.random = new Random(shared.secret, Purpose.Dhcp6 + 256 * iface.number);
    this.duid = options.duid ?? dhcp6.duidOf(iface.mac);
  }

  /** Begins: for addresses (a router's M flag), or for other configuration only (its O flag, §18.2.6). */
  start(isStateful: boolean): void {
    const { state } = this;
    if (state !== Dhcp6State.Stopped && state !== Dhcp6State.Releasing) return;
    this.open();
    this.wait(isStateful ? Dhcp6State.Soliciting : Dhcp6State.Informing);
  }

  /** Gives the addresses back and ends; they are not used from now on. §18.2.7. */
  stop(): void {
    const isLeased = this.isLeased;
    const { addresses } = this;
    this.addresses = [];
    if (isLeased) for (const { address } of addresses) this.host.forget(address);
    if (isLeased && addresses.length > 0) {
      this.declined = addresses.map((leased) => leased.address);
      this.enter(Dhcp6State.Releasing);
    } else this.end();
  }

  /** The link may lead elsewhere now: asks whether the addresses fit it. §18.2.3. */
  reconfirm(): void {
    if (this.state === Dhcp6State.Informed) this.wait(Dhcp6State.Informing);
    else if (this.isLeased) this.wait(Dhcp6State.Confirming);
  }

  /** Somebody else has `address`. §18.2.8. */
  decline(address: Address): void {
    const kept = this.addresses.filter((leased) => !equal(leased.address, address));
    if (!this.isLeased || kept.length === this.addresses.length) return;
    this.addresses = kept;
    this.declined = [address.slice()];
    this.host.forget(address);
    this.enter(Dhcp6State.Declining);
  }

  /** What is in use now. */
  get lease(): Lease6 {
    const { dnsServers, search } = this;
    return { addresses: this.isLeased ? this.addresses : [], dnsServers, search };
  }

  /** Reads what came. */
  poll(): void {
    while (this.handle >= 0) {
      const bytes = this.io.receiveFrom(this.handle, this.buffer);
      if (bytes < 0) return;
      if (!this.receive(viewOf(this.buffer), bytes)) this.ignored++;
    }
  }

  deadlineUs(): number {
    return this.deadline;
  }

  expire(): void {
    if (this.shared.nowUs < this.deadline) return;
    switch (this.state) {
      case Dhcp6State.Waiting:
        this.enter(this.next);
        return;
      case Dhcp6State.Bound:
        if (this.shared.nowUs >= this.validUntilUs()) this.solicitAgain();
        else this.enter(this.shared.nowUs >= this.t2Us ? Dhcp6State.Rebinding : Dhcp6State.Renewing);
        return;
      case Dhcp6State.Informed:
        this.enter(Dhcp6State.Informing);
        return;
      default:
        this.again();
    }
  }

  save(state: StateWriter): void {
    state.section(`stack/dhcp6-client/${this.iface}`, 1);
    const { handle, next, xid, attempts, waitUs, beganUs, deadline, t1Us, t2Us, solMaxS, infMaxS, preference } = this;
    for (const value of [this.state, handle, next, xid, attempts, preference, solMaxS, infMaxS]) state.number(value);
    for (const value of [waitUs, beganUs, deadline, t1Us, t2Us, this.ignored]) state.number(value);
    state.column(this.server);
    state.number(this.addresses.length);
    for (const { address, preferredUntilUs, validUntilUs } of this.addresses) {
      state.column(address).number(preferredUntilUs).number(validUntilUs);
    }
    for (const list of [this.declined, this.dnsServers]) {
      state.number(list.length);
      for (const address of list) state.column(address);
    }
    state.text(this.search.join(' '));
    this.random.save(state);
  }

  load(state: StateReader): void {
    state.section(`stack/dhcp6-client/${this.iface}`, 1);
    this.state = state.integer(0, Dhcp6State.Informed) as Dhcp6State;
    this.handle = state.integer(-1, 2 ** 31 - 1);
    this.next = state.integer(0, Dhcp6State.Informed) as Dhcp6State;
    this.xid = state.integer(0, 0xffffff);
    this.attempts = state.integer(0, 0xffff);
    this.preference = state.integer(-1, PREFERENCE_MAX);
    this.solMaxS = state.integer(MAX_RT_S.min, MAX_RT_S.max);
    this.infMaxS = state.integer(MAX_RT_S.min, MAX_RT_S.max);
    this.waitUs = state.number();
    this.beganUs = state.number();
    this.deadline = state.number();
    this.t1Us = state.number();
    this.t2Us = state.number();
    this.ignored = state.number();
    this.server = state.bytes(DUID_BYTES_MAX);
    this.addresses = Array.from({ length: state.integer(0, ADDRESSES_MAX) }, () => ({
      address: readAddress(state),
      preferredUntilUs: state.number(),
      validUntilUs: state.number(),
    }));
    this.declined = Array.from({ length: state.integer(0, ADDRESSES_MAX) }, () => readAddress(state));
    this.dnsServers = Array.from({ length: state.integer(0, ADDRESSES_MAX) }, () => readAddress(state));
    this.search = state.text(4096).split(' ').filter(Boolean);
    this.random.load(state);
  }

  /** The addresses are in use, not only offered. */
  private get isLeased(): boolean {
    const { state } = this;
    const isAsking = state === Dhcp6State.Soliciting || state === Dhcp6State.Requesting;
    return this.addresses.length > 0 && !isAsking;
  }

  private open(): void {
    if (this.handle < 0) {
      this.handle = this.io.open({ isIp6: true, port: dhcp6.CLIENT_PORT, iface: this.iface });
    }
  }

  private end(): void {
    if (this.handle >= 0) this.io.close(this.handle);
    this.handle = -1;
    this.state = Dhcp6State.Stopped;
    this.deadline = NEVER;
  }

  /** §18.2.1, §18.2.3, §18.2.6: the first message waits for a random time of up to a second. */
  private wait(next: Dhcp6State): void {
    this.state = Dhcp6State.Waiting;
    this.next = next;
    this.deadline = this.shared.nowUs + this.random.between(0, DELAY_US_MAX);
  }

  /** Begins an exchange of messages. */
  private enter(state: Dhcp6State): void {
    this.state = state;
    this.attempts = 0;
    this.waitUs = 0;
    this.beganUs = this.shared.nowUs;
    this.xid = this.random.u32() & 0xffffff;
    if (state === Dhcp6State.Soliciting) this.preference = -1;
    this.transmit();
  }

  /** A message was not answered in its time: sends it again, or does what follows. */
  private again(): void {
    const { schedule } = EXCHANGES.get(this.state)!;
    if (this.state === Dhcp6State.Soliciting && this.preference >= 0) {
      this.enter(Dhcp6State.Requesting); // §18.2.1: the first wait is over, the best Advertise is taken
      return;
    }
    const isCounted = schedule.count > 0 && this.attempts >= schedule.count;
    if (isCounted || this.shared.nowUs >= this.endUs()) this.exhausted();
    else this.transmit();
  }

  /** When the exchange ends whatever was answered: MRD of §15. */
  private endUs(): number {
    switch (this.state) {
      case Dhcp6State.Confirming:
        return this.beganUs + SCHEDULES.confirm.duration * US_PER_S;
      case Dhcp6State.Renewing:
        return this.t2Us; // §18.2.4
      case Dhcp6State.Rebinding:
        return this.validUntilUs(); // §18.2.5
      default:
        return NEVER;
    }
  }

  /** When the last address ends. */
  private validUntilUs(): number {
    return Math.max(...this.addresses.map((leased) => leased.validUntilUs));
  }

  private exhausted(): void {
    switch (this.state) {
      case Dhcp6State.Confirming: // §18.2.3: nobody objected
        this.bound();
        return;
      case Dhcp6State.Renewing:
        this.enter(Dhcp6State.Rebinding);
        return;
      case Dhcp6State.Releasing:
        this.end();
        return;
      case Dhcp6State.Declining:
        this.afterDecline();
        return;
      default: // Requesting, and Rebinding whose addresses have all ended
        this.solicitAgain();
    }
  }

  private solicitAgain(): void {
    const { addresses } = this;
    const wasLeased = this.isLeased;
    this.addresses = [];
    if (wasLeased) for (const { address } of addresses) this.host.forget(address);
    this.wait(Dhcp6State.Soliciting); // §14.1: a server that always refuses must not be asked without pause
  }

  private afterDecline(): void {
    this.declined = [];
    if (this.addresses.length > 0) this.bound();
    else this.wait(Dhcp6State.Soliciting);
  }

  private transmit(): void {
    const { type, schedule } = EXCHANGES.get(this.state)!;
    this.io.sendTo(this.handle, this.build(type), SERVERS, dhcp6.SERVER_PORT); // what cannot go now goes again
    this.attempts = Math.min(this.attempts + 1, 0xffff);
    const isSolicit = this.state === Dhcp6State.Soliciting;
    const informs = this.state === Dhcp6State.Informing;
    const maxS = isSolicit ? this.solMaxS : informs ? this.infMaxS : schedule.max;
    this.waitUs = nextWait(this.random, schedule, maxS, this.waitUs, isSolicit);
    this.deadline = Math.min(this.shared.nowUs + this.waitUs, this.endUs());
  }

  private build(type: number): Uint8Array {
    const out = new dhcp6.Dhcp6Writer(type, this.xid);
    out.option(Option.ClientId, this.duid);
    if (NAMES_SERVER.has(type)) out.option(Option.ServerId, this.server);
    // §21.9: hundredths of a second since the first message, which says 0.
    const elapsed = Math.min(0xffff, Math.floor((this.shared.nowUs - this.beganUs) / (10 * US_PER_MS)));
    out.begin(Option.ElapsedTime).u16(elapsed).end();
    if (type === MessageType.Solicit && this.options.rapidCommit) out.option(Option.RapidCommit);
    if (type !== MessageType.InformationRequest) this.addIa(out, type);
    this.addWishes(out, type);
    return out.finish();
  }

  private addIa(out: dhcp6.Dhcp6Writer, type: number): void {
    out.begin(Option.IaNa).u32(this.iface).u32(0).u32(0);
    const isReturned = type === MessageType.Release || type === MessageType.Decline;
    const named = isReturned ? this.declined : this.addresses.map((leased) => leased.address);
    // §18.2.3: lifetimes are 0 in what a client says; a Solicit names no address, since none is preferred over others.
    for (const address of type === MessageType.Solicit ? [] : named) {
      const bytes = new Uint8Array(16);
      write6(viewOf(bytes), 0, address);
      out.begin(Option.IaAddress).bytes(bytes).u32(0).u32(0).end();
    }
    out.end();
  }

  private addWishes(out: dhcp6.Dhcp6Writer, type: number): void {
    if (type === MessageType.Release || type === MessageType.Decline || type === MessageType.Confirm) return;
    const isInform = type === MessageType.InformationRequest;
    out.begin(Option.Oro).u16(Option.DnsServers).u16(Option.DomainList);
    if (isInform) out.u16(Option.InformationRefreshTime).u16(Option.InfMaxRt);
    else out.u16(Option.SolMaxRt);
    out.end();
    const { hostName = '' } = this.options;
    // RFC 4704 §4.1: S, the server is to update the AAAA record.
    if (hostName !== '') out.option(Option.Fqdn, [1, ...dhcp6.fqdnBytes(hostName)]);
  }

  /** True if the message was for us and made sense. */
  private receive(view: DataView, bytes: number): boolean {
    const exchange = EXCHANGES.get(this.state);
    if (bytes < dhcp6.HEADER_BYTES || !exchange || dhcp6.xid(view, 0) !== this.xid) return false;
    const options = dhcp6.readOptions(view, dhcp6.HEADER_BYTES, bytes - dhcp6.HEADER_BYTES);
    const client = options && dhcp6.find(options, Option.ClientId);
    const server = options && dhcp6.find(options, Option.ServerId);
    // §16.3, §16.10: both identifiers, and the client's is ours.
    if (!options || !client || !server || server.bytes === 0 || server.bytes > DUID_BYTES_MAX) return false;
    if (!sameBytes(dhcp6.optionBytes(view, client), this.duid)) return false;
    const type = dhcp6.messageType(view, 0);
    const serverId = dhcp6.optionBytes(view, server);
    if (type === MessageType.Advertise && this.state === Dhcp6State.Soliciting) {
      return this.takeAdvertise(view, options, serverId);
    }
    if (type !== MessageType.Reply) return false;
    if (NAMES_SERVER.has(exchange.type) && !sameBytes(serverId, this.server)) return false;
    return this.takeReply(view, options, serverId);
  }

  /** §18.2.9. */
  private takeAdvertise(view: DataView, options: readonly dhcp6.Option6[], server: Uint8Array): boolean {
    this.learnMaxRt(view, options); // even of one that has nothing to offer
    const ia = this.iaOf(view, options);
    if (dhcp6.statusOf(view, options) !== Status.Success || ia?.status !== Status.Success) return false;
    const offered = mergeAddresses([], ia, this.shared.nowUs);
    if (offered.length === 0) return false;
    const option = dhcp6.find(options, Option.Preference);
    const preference = option?.bytes === 1 ? view.getUint8(option.at) : 0;
    if (preference > this.preference) {
      this.preference = preference;
      this.server = server;
      this.addresses = offered;
    }
    // §18.2.1: at once with the highest preference, or when the first wait is over already.
    if (preference === PREFERENCE_MAX || this.attempts > 1) this.enter(Dhcp6State.Requesting);
    return true;
  }

  /** §18.2.10. */
  private takeReply(view: DataView, options: readonly dhcp6.Option6[], server: Uint8Array): boolean {
    const status = dhcp6.statusOf(view, options);
    if (status === undefined) return false;
    switch (this.state) {
      case Dhcp6State.Releasing:
        this.end();
        return true;
      case Dhcp6State.Declining:
        this.afterDecline();
        return true;
      case Dhcp6State.Informing:
        return this.informed(view, options);
      case Dhcp6State.Confirming:
        if (status === Status.NotOnLink) this.solicitAgain();
        else if (status === Status.Success) this.bound();
        return true;
    }
    // A reply to Solicit counts only as rapid commit, §18.2.1.
    const isRapid = this.options.rapidCommit === true && dhcp6.find(options, Option.RapidCommit) !== undefined;
    if (this.state === Dhcp6State.Soliciting && !isRapid) return false;
    this.learnMaxRt(view, options);
    // §18.2.10.1: with UnspecFail the message is sent again in its time; NotOnLink means addresses of another link.
    if (status === Status.NotOnLink) this.solicitAgain();
    return status === Status.Success && this.takeIa(view, options, server);
  }

  private takeIa(view: DataView, options: readonly dhcp6.Option6[], server: Uint8Array): boolean {
    const ia = this.iaOf(view, options);
    if (!ia) return false;
    const { state } = this;
    const isExtending = state === Dhcp6State.Renewing || state === Dhcp6State.Rebinding;
    if (ia.status === Status.NoBinding && isExtending) {
      this.server = server;
      this.requestKnown();
      return true;
    }
    const { nowUs } = this.shared;
    const old = isExtending ? this.addresses : [];
    const merged = ia.status === Status.Success ? mergeAddresses(old, ia, nowUs) : [];
    if (ia.status !== Status.Success || ia.addresses.length === 0) {
      // While extending the client goes on asking; a fresh request begins anew with another server.
      if (state === Dhcp6State.Requesting) this.solicitAgain();
      return state === Dhcp6State.Requesting;
    }
    for (const { address } of old)
      if (!merged.some((leased) => equal(leased.address, address))) this.host.forget(address);
    this.addresses = merged;
    if (merged.length === 0) {
      this.wait(Dhcp6State.Soliciting);
      return true;
    }
    this.server = server;
    ({ t1Us: this.t1Us, t2Us: this.t2Us } = timesOf(ia, nowUs));
    this.learnNetwork(view, options);
    this.bound();
    this.host.use(this.lease);
    return true;
  }

  /** §18.2.10.1: the server forgot the addresses: they are requested again, and until then not used. */
  private requestKnown(): void {
    for (const { address } of this.addresses) this.host.forget(address);
    this.enter(Dhcp6State.Requesting);
  }

  private iaOf(view: DataView, options: readonly dhcp6.Option6[]): dhcp6.Ia | undefined {
    for (const option of options) {
      const ia = option.code === Option.IaNa ? dhcp6.readIa(view, option, ADDRESSES_MAX) : undefined;
      if (ia?.iaid === this.iface) return ia;
    }
    return undefined;
  }

  private bound(): void {
    this.state = Dhcp6State.Bound;
    this.deadline = Math.min(this.t1Us, this.validUntilUs());
  }

  private informed(view: DataView, options: readonly dhcp6.Option6[]): boolean {
    this.learnMaxRt(view, options);
    this.learnNetwork(view, options);
    const seconds = dhcp6.numberOf(view, options, Option.InformationRefreshTime) ?? REFRESH_S_DEFAULT;
    this.state = Dhcp6State.Informed;
    // §21.23: infinity means never.
    this.deadline = seconds === 0xffffffff ? NEVER : this.shared.nowUs + Math.max(REFRESH_S_MIN, seconds) * US_PER_S;
    this.host.use(this.lease);
    return true;
  }

  private learnNetwork(view: DataView, options: readonly dhcp6.Option6[]): void {
    this.dnsServers = dnsServersOf(view, options);
    this.search = searchOf(view, options);
  }

  /** §21.24, §21.25: values outside of 60 … 86400 are ignored. */
  private learnMaxRt(view: DataView, options: readonly dhcp6.Option6[]): void {
    const isValid = (s: number | undefined): s is number => s !== undefined && s >= MAX_RT_S.min && s <= MAX_RT_S.max;
    const sol = dhcp6.numberOf(view, options, Option.SolMaxRt);
    const inf = dhcp6.numberOf(view, options, Option.InfMaxRt);
    if (isValid(sol)) this.solMaxS = sol;
    if (isValid(inf)) this.infMaxS = inf;
  }
}

function readAddress(state: StateReader): Address {
  const bytes = new Int32Array(4);
  state.into(bytes);
  return bytes;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
