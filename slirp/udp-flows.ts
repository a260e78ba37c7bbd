// UDP between guests and the host's sockets, as RFC 4787 and RFC 7857 want a NAT to be.
//
// A mapping is a socket of the host: one for each address and port of a guest and family on the host's side, whatever its
// targets are (REQ-1). It has the guest's port where that is free (REQ-3; parity is kept only thereby,
// which RFC 7857 allows), and is nobody else's. Who may answer is the filter's to say (REQ-8). A guest that sends to another's mapping, or to a forward,
// reaches it, and is seen by its own outside address and port (REQ-9), whatever rules say of the host's addresses.
//
// Timers (REQ-5, REQ-6). What the guest sends refreshes a mapping; what it receives only if that is asked for. It ends
// `longUs` (120 s) later; but `shortUs` (30 s) later as long as it was a mere exchange with services of well-known ports,
// which REQ-5a allows: until it was answered and the guest still sends 2 s after its beginning, as Linux's conntrack has it.
// Otherwise some DNS clients, which take a new port for each question, would fill the table with what nobody uses again.
// Full, such exchanges go first when they are done.

import { assert } from '../core/assert.ts';
import { NEVER, US_PER_S } from '../core/time.ts';
import { NO_TIMER, TimerWheel } from '../core/timer-wheel.ts';
import {
  type Address,
  ANY_ADDRESS,
  ANY_ADDRESS4,
  assignAddress,
  type Datagram,
  DatagramFlag,
  Errno,
  Family,
  isAnyAddress,
  isIp4,
  isLoopback,
  isMulticast,
  SocketName,
  SocketOption,
  SocketType,
} from '../stack/stack.ts';
import { PAYLOAD_BYTES_MAX } from './datagram-batch.ts';
import { FlowErrors } from './flow-errors.ts';
import { FlowReceiver } from './flow-receiver.ts';
import { FlowRoom } from './flow-room.ts';
import { FlowSender } from './flow-sender.ts';
import { FlowTable, flowKey, MappingFlag, NO_ROW, RemoteFlag } from './flow-table.ts';
import { whereText } from './flow-text.ts';
import { HostReady } from './host-sockets.ts';
import { FlowKind, type FlowParts, type FlowView, NO_STATION, Protocol, Verdict } from './parts.ts';

/** RFC 4787 §5: who reaches a guest: anybody, addresses that it sent to, addresses and ports that it sent to. */
export type UdpFiltering = 'endpoint' | 'address' | 'address-port';

export interface UdpOptions {
  readonly filtering: UdpFiltering;
  readonly shortUs: number;
  readonly longUs: number;
  /** What a guest receives refreshes its mapping, too. */
  readonly inboundRefreshes: boolean;
  readonly mappingsMax: number;
  /** Remotes of all mappings, beyond one for each. */
  readonly remotesMax: number;
  /** Of one guest. */
  readonly remotesOfStationMax: number;
  readonly remotesOfOneMax: number;
  /** Remotes of a forward. */
  readonly clientsMax: number;
  /** True of the host's own addresses as others see them: where hairpins go. */
  readonly isHost: (address: Address) => boolean;
}

export const UDP: UdpOptions = {
  filtering: 'address',
  shortUs: 30 * US_PER_S,
  longUs: 120 * US_PER_S,
  inboundRefreshes: false,
  mappingsMax: 8192,
  remotesMax: 32_768,
  remotesOfStationMax: 8192,
  remotesOfOneMax: 256,
  clientsMax: 4096,
  isHost: () => false,
};

/** Who knows what the clients of a mapping that is a forward are called. */
export interface ClientNames {
  /** Writes the address to `into`: the port, or -1 to refuse the client. */
  name(m: number, client: Address, port: number, into: Address): number;
  /** True if somebody who sends to `address` means this forward. */
  isAt(m: number, address: Address): boolean;
}

const WELL_KNOWN_PORTS = 1024;
const STREAM_AFTER_US = 2 * US_PER_S; // as conntrack's
const RECEIVE_BYTES = 8 << 20; // what guests send in one breath
const KEY = 0x75647020;
const UNCUT6_BYTES = 1280 - 40 - 8; // RFC 8200 §5: every path takes it
const UNLISTED = -2; // from nobody that the guest sent to, but it may come

/** The user of its sockets on both sides; who owns it gives it turns as to a part of the stack. */
export class UdpFlows {
  readonly table: FlowTable;
  private readonly room: FlowRoom;
  private readonly parts: FlowParts;
  private readonly options: UdpOptions;
  private readonly timers: TimerWheel;
  private readonly errors: FlowErrors;
  private readonly sender: FlowSender;
  private readonly receiver: FlowReceiver;
  private readonly h: number;
  private readonly byPort = new Map<number, number>(); // 2 * port + family: the mapping
  private readonly clients = new Map<number, ClientNames>();
  private readonly guest: Address = new Int32Array(4);
  private readonly name: Address = new Int32Array(4);
  private readonly asTarget: Address = new Int32Array(4);
  private readonly outside: Address = new Int32Array(4);
  private readonly hostName = new SocketName();

  constructor(parts: FlowParts, options: Partial<UdpOptions> = {}) {
    this.parts = parts;
    this.options = { ...UDP, ...options };
    const { mappingsMax, remotesMax, remotesOfStationMax, remotesOfOneMax, clientsMax } = this.options;
    const key = flowKey(parts.stack.shared.secret, KEY);
    this.table = new FlowTable({ mappingsMax, remotesMax, remotesOfStationMax, remotesOfOneMax, clientsMax, key });
    this.timers = new TimerWheel({ timersMax: mappingsMax });
    this.room = new FlowRoom(parts, this.table, FlowKind.Udp, (m) => this.remove(m));
    this.errors = new FlowErrors(parts);
    this.receiver = new FlowReceiver(parts, {
      deliver: (m, from, port, at, bytes, hops, trafficClass) =>
        this.deliver(m, from, port, at, bytes, hops, trafficClass),
      about: (m, target, port, at, bytes) => this.aboutHost(m, target, port, at, bytes),
      errors: this.errors,
    });
    this.sender = new FlowSender(parts, this.table, {
      errors: (m) => this.receiver.errors(m, this.table.handleOf(m), true),
      failed: (r, at, bytes, errno, info) => {
        this.about(r, at, bytes);
        this.errors.fail(errno, info, this.table.isIp6(this.table.mappingOf(r)));
      },
    });
    const { sockets } = parts.stack;
    this.h = sockets.socket(Family.Inet6, SocketType.Datagram);
    sockets.setOption(this.h, SocketOption.ReceiveBuffer, RECEIVE_BYTES);
    assert(sockets.gateway.intercept(this.h, parts.iface) === 0, 'one gateway an interface');
    sockets.claim(this.h, { changed: () => this.drain() });
  }

  /** All mappings. */
  *flows(): Iterable<FlowView> {
    for (let m = 0; m < this.table.end; m++) if (this.table.isMapping(m)) yield this.view(m);
  }

  deadlineUs(): number {
    return this.timers.deadlineUs();
  }

  /** Forgets what nobody used. */
  expire(): void {
    const { nowUs } = this.parts.stack.shared;
    for (let m = this.timers.expire(nowUs); m !== NO_TIMER; m = this.timers.expire(nowUs)) {
      const dueUs = this.clients.has(m) ? this.expireClients(m, nowUs) : this.dueUs(m);
      if (dueUs > nowUs) this.timers.set(m, dueUs);
      else this.remove(m);
    }
  }

  close(): void {
    for (let m = 0; m < this.table.end; m++) if (this.table.isMapping(m)) this.remove(m);
    this.parts.stack.sockets.close(this.h);
  }

  /**
   * A mapping that stays: socket `handle` of the host, which is this one's to close, leads to a port of a guest, and what the
   * guest sends from there leaves by it. `NO_ROW` if there are too many.
   */
  addForward(guest: Address, port: number, isIp6: boolean, handle: number, names: ClientNames): number {
    const m = this.adopt(guest, port, isIp6, handle);
    if (m === NO_ROW) return m;
    this.table.mark(m, MappingFlag.Fixed);
    this.clients.set(m, names);
    return m;
  }

  /** Ends a mapping. */
  remove(m: number): void {
    const { table, parts } = this;
    const port = portKey(table.hostPortOf(m), table.isIp6(m));
    if (this.byPort.get(port) === m) this.byPort.delete(port);
    this.timers.cancel(m);
    const h = table.handleOf(m);
    this.receiver.drop(h);
    parts.host.close(h);
    this.clients.delete(m);
    parts.caps.give(FlowKind.Udp, table.stationOf(m));
    table.removeMapping(m);
  }

  // From guests

  private drain(): void {
    const { sender, h } = this;
    const { sockets, shared } = this.parts.stack;
    for (;;) {
      const bytes = sockets.receiveFrom(h, shared.bytes, sender.room, PAYLOAD_BYTES_MAX);
      if (bytes === -Errno.EAGAIN) break;
      if (bytes >= 0) this.leave(sockets.message, bytes);
    }
    sender.flush();
  }

  /** A guest sent `bytes`, which lie at the sender's `room`. */
  private leave(message: Datagram, bytes: number): void {
    const { table, parts, sender } = this;
    const { nowUs } = parts.stack.shared;
    const { source, target, port, info } = message;
    let r = table.findOut(source, port, target, info);
    if (r !== NO_ROW && message.mac !== table.macOf(table.mappingOf(r)) && !this.isFrom(message)) return;
    if (r !== NO_ROW && !this.isFresh(r, nowUs)) {
      sender.send();
      table.removeRemote(r);
      r = NO_ROW;
    }
    if (r === NO_ROW) {
      sender.send(); // what is in it may lose its remote
      r = this.open(message, bytes);
      if (r === NO_ROW) return;
    }
    const m = table.mappingOf(r);
    table.setMac(m, message.mac);
    table.touch(r, nowUs);
    if (table.hasRemote(r, RemoteFlag.Inward)) table.markRemote(r, RemoteFlag.Answered);
    if (table.has(m, MappingFlag.Answered) && nowUs - table.openedUs(m) > STREAM_AFTER_US)
      table.mark(m, MappingFlag.Lasting);
    table.countOut(m, bytes, nowUs);
    parts.counters.udpDatagramsOut++;
    parts.counters.udpBytesOut += bytes;
    const hops = Math.max(1, message.hops - 1); // of one hop the stack took care, but to the gateway itself
    if (table.hasRemote(r, RemoteFlag.Hairpin)) {
      this.hairpin(r, hops, message.trafficClass, bytes);
      return;
    }
    // RFC 7915 §5.1: what IPv6 may send anywhere, IPv4 may have to cut.
    const isSmall = !table.isIp6(m) && bytes <= UNCUT6_BYTES && table.isGuest6(m);
    const isWhole = (message.flags & DatagramFlag.DontFragment) !== 0 && !isSmall;
    sender.add(r, bytes, hops, message.trafficClass, isWhole);
  }

  /** False if the guest's address is another's than the sender's, which is counted. */
  private isFrom({ source, mac }: Datagram): boolean {
    const { senders, counters } = this.parts;
    if (!senders.isForged(source, mac)) return true;
    counters.forged++;
    return false;
  }

  /** The guest has not sent there, or not for long: a remote, or `NO_ROW` and the guest is told. */
  private open(message: Datagram, bytes: number): number {
    const { table, outside, parts } = this;
    const { source, target, port, info } = message;
    if (port === 0 || info === 0 || isAnyAddress(source) || isMulticast(source) || isLoopback(source)) {
      parts.counters.lost++;
      return NO_ROW;
    }
    if (!this.isFrom(message)) return NO_ROW;
    assignAddress(outside, ANY_ADDRESS);
    const verdict = parts.targets.decide(Protocol.Udp, source, target, info, outside);
    const hostPort = verdict === Verdict.Go ? parts.targets.hostPort : info;
    if (verdict !== Verdict.Go && isAnyAddress(outside)) assignAddress(outside, target);
    const isHairpin = this.mappingAt(outside, hostPort) !== NO_ROW;
    if (verdict !== Verdict.Go && !isHairpin) {
      if (verdict === Verdict.Prohibited) parts.counters.prohibited++;
      this.errors.about(Protocol.Udp, source, port, target, info, this.sender.room, bytes);
      this.errors.refuse(verdict);
      return NO_ROW;
    }
    const isIp6 = !isIp4(outside);
    let m = table.findMapping(source, port, isIp6);
    if (m === NO_ROW) m = this.openMapping(source, port, isIp6, message.mac);
    if (m === NO_ROW) return m;
    const r = table.addRemote(m, target, info, outside, hostPort, parts.stack.shared.nowUs);
    if (isHairpin) table.markRemote(r, RemoteFlag.Hairpin);
    if (isHairpin || info >= WELL_KNOWN_PORTS) table.mark(m, MappingFlag.Lasting);
    return r;
  }

  /** RFC 4787 REQ-1, REQ-3: a socket, with the guest's port if it is free. */
  private openMapping(guest: Address, port: number, isIp6: boolean, mac: number): number {
    const { table } = this;
    const { caps, counters } = this.parts;
    const station = this.room.take(guest, mac);
    if (station === NO_STATION) return NO_ROW;
    let h = this.openSocket(isIp6, port);
    if (h < 0 && h !== -Errno.EADDRNOTAVAIL) {
      const hasRoom = this.room.make(NO_STATION) || caps.relieve(FlowKind.Udp, guest, mac);
      if (hasRoom) h = this.openSocket(isIp6, port);
    }
    if (h < 0) {
      counters.hostFull++;
      caps.give(FlowKind.Udp, station);
      return NO_ROW;
    }
    const m = this.adopt(guest, port, isIp6, h);
    table.setStation(m, station);
    counters.udpOpened++;
    this.timers.set(m, this.dueUs(m));
    return m;
  }

  private openSocket(isIp6: boolean, port: number): number {
    const { host, targets } = this.parts;
    const source = targets.source(isIp6);
    const local = isAnyAddress(source) ? (isIp6 ? ANY_ADDRESS : ANY_ADDRESS4) : source;
    const h = host.openUdp(isIp6, local, port);
    return h === -Errno.EADDRINUSE || h === -Errno.EACCES ? host.openUdp(isIp6, local, 0) : h;
  }

  /** A socket becomes a mapping; closed if there are too many. */
  private adopt(guest: Address, port: number, isIp6: boolean, h: number): number {
    const { parts, table, hostName } = this;
    parts.host.local(h, hostName);
    const m = table.addMapping(guest, port, isIp6, h, hostName.port, parts.stack.shared.nowUs);
    if (m === NO_ROW) {
      parts.host.close(h);
      return m;
    }
    const key = portKey(hostName.port, isIp6);
    if (!this.byPort.has(key)) this.byPort.set(key, m);
    this.receiver.add(h, m);
    parts.host.want(h, HostReady.In);
    return m;
  }

  // Among guests

  /** The mapping that an address and port outside are, or `NO_ROW`. */
  private mappingAt(address: Address, port: number): number {
    if (!this.options.isHost(address)) return NO_ROW;
    const key = portKey(port, !isIp4(address));
    const m = this.byPort.get(key) ?? NO_ROW;
    if (m !== NO_ROW && !this.clients.has(m)) return m;
    // Forwards may share a port on different addresses.
    for (const [fixed, names] of this.clients) {
      if (portKey(this.table.hostPortOf(fixed), this.table.isIp6(fixed)) === key && names.isAt(fixed, address))
        return fixed;
    }
    return NO_ROW;
  }

  /** RFC 4787 REQ-9: seen by its outside address and port. */
  private hairpin(r: number, hops: number, trafficClass: number, bytes: number): void {
    const { table, outside, sender } = this;
    table.hostInto(r, outside);
    const other = this.mappingAt(outside, table.remotePortOf(r));
    if (other === NO_ROW) {
      this.about(r, sender.room, bytes);
      this.errors.refuse(Verdict.Refused);
      table.removeRemote(r);
      return;
    }
    const port = table.hostPortOf(table.mappingOf(r));
    this.deliver(other, outside, port, sender.room, bytes, hops + 1, trafficClass);
  }

  // From outside

  /** Somebody sent `bytes` at `at` to mapping `m`. `hops` are those with which it came, -1 if unknown. */
  private deliver(
    m: number,
    from: Address,
    fromPort: number,
    at: number,
    bytes: number,
    hops: number,
    trafficClass: number,
  ): void {
    const { table, guest, name, parts } = this;
    const { counters, stack } = parts;
    const { nowUs } = stack.shared;
    const r = this.admit(m, from, fromPort, nowUs);
    if (r === NO_ROW) return;
    let port = fromPort;
    if (r >= 0) {
      table.nameInto(r, name);
      port = table.namePortOf(r);
    }
    table.guestInto(m, guest);
    const left = hops < 0 ? -1 : Math.max(1, hops - 1);
    const { bytes: memory } = stack.shared;
    const { gateway } = stack.sockets;
    const guestPort = table.portOf(m);
    const sent = gateway.sendFrom(this.h, memory, at, bytes, name, port, guest, guestPort, left, trafficClass);
    if (sent < 0) {
      counters.lost++;
      return;
    }
    table.mark(m, MappingFlag.Answered);
    table.countIn(m, bytes, nowUs, this.options.inboundRefreshes);
    if (r >= 0 && (this.options.inboundRefreshes || table.hasRemote(r, RemoteFlag.Inward))) table.touch(r, nowUs);
    counters.udpDatagramsIn++;
    counters.udpBytesIn += bytes;
  }

  /** RFC 4787 REQ-8: a remote; `UNLISTED` if it may come and its name is in `name`; `NO_ROW` if not. */
  private admit(m: number, from: Address, port: number, nowUs: number): number {
    const { table, parts, name, asTarget } = this;
    const exact = table.findIn(m, from, port);
    if (exact !== NO_ROW && this.isFresh(exact, nowUs)) return exact;
    const names = this.clients.get(m);
    if (names) return this.admitClient(m, names, from, port, nowUs);
    const { filtering } = this.options;
    let like = filtering === 'address-port' ? NO_ROW : table.findAt(m, from);
    if (like !== NO_ROW && !this.isFresh(like, nowUs)) like = NO_ROW;
    if (like === NO_ROW && filtering === 'endpoint') like = table.newestOf(m);
    if (like === NO_ROW) {
      parts.counters.filtered++;
      return NO_ROW;
    }
    table.nameInto(like, asTarget);
    if (parts.targets.nameFor(from, asTarget, name) && isIp4(name) !== table.isGuest6(m)) return UNLISTED;
    parts.counters.unnamed++;
    return NO_ROW;
  }

  private admitClient(m: number, names: ClientNames, from: Address, port: number, nowUs: number): number {
    const { table, name } = this;
    const stale = table.findIn(m, from, port);
    if (stale !== NO_ROW) table.removeRemote(stale);
    const namePort = names.name(m, from, port, name);
    if (namePort < 0) {
      this.parts.counters.unnamed++;
      return NO_ROW;
    }
    const r = table.addRemote(m, name, namePort, from, port, nowUs);
    table.markRemote(r, RemoteFlag.Inward);
    if (this.timers.deadlineOf(m) === NEVER) this.timers.set(m, this.clientDueUs(r));
    this.parts.counters.forwardsAccepted++;
    return r;
  }

  // Time

  private dueUs(m: number): number {
    const { shortUs, longUs } = this.options;
    return this.table.usedUs(m) + (this.table.has(m, MappingFlag.Lasting) ? longUs : shortUs);
  }

  private clientDueUs(r: number): number {
    const isShort = this.table.hasRemote(r, RemoteFlag.Inward) && !this.table.hasRemote(r, RemoteFlag.Answered);
    return this.table.remoteUsed(r) + (isShort ? this.options.shortUs : this.options.longUs);
  }

  private isFresh(r: number, nowUs: number): boolean {
    return nowUs < this.clientDueUs(r);
  }

  /** Forgets clients of a forward: when to look again, `NEVER` without clients. */
  private expireClients(m: number, nowUs: number): number {
    const { table } = this;
    for (let r = table.oldestOf(m); r !== NO_ROW; r = table.oldestOf(m)) {
      const dueUs = this.clientDueUs(r);
      if (dueUs > nowUs) return dueUs;
      table.removeRemote(r);
    }
    return NEVER;
  }

  // What is said about it

  private about(r: number, at: number, bytes: number): void {
    const { table, guest, name } = this;
    const m = table.mappingOf(r);
    table.guestInto(m, guest);
    table.nameInto(r, name);
    this.errors.about(Protocol.Udp, guest, table.portOf(m), name, table.namePortOf(r), at, bytes);
  }

  /** An error of the host's is about a datagram of mapping `m` to `target`: false if that is nobody's. */
  private aboutHost(m: number, target: Address, port: number, at: number, bytes: number): boolean {
    const r = port === 0 ? this.table.findAt(m, target) : this.table.findIn(m, target, port);
    if (r === NO_ROW) return false;
    this.about(r, at, bytes);
    return true;
  }

  private view(m: number): FlowView {
    const { table, guest, name, hostName, parts } = this;
    const { nowUs } = parts.stack.shared;
    table.guestInto(m, guest);
    const newest = table.newestOf(m);
    if (newest !== NO_ROW) table.nameInto(newest, name);
    parts.host.local(table.handleOf(m), hostName);
    return {
      protocol: 'udp',
      guest: whereText(guest, table.portOf(m)),
      target: newest === NO_ROW ? '' : whereText(name, table.namePortOf(newest)),
      host: whereText(hostName.address, hostName.port),
      direction: table.has(m, MappingFlag.Fixed) ? 'in' : 'out',
      state: 'open',
      bytesOut: table.bytesOut(m),
      bytesIn: table.bytesIn(m),
      ageSeconds: (nowUs - table.openedUs(m)) / US_PER_S,
      idleSeconds: (nowUs - table.seenUs(m)) / US_PER_S,
    };
  }
}

const portKey = (port: number, isIp6: boolean): number => 2 * port + (isIp6 ? 1 : 0);
