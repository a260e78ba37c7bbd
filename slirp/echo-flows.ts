// Echo between guests and the host's ping sockets: RFC 792, RFC 4443, RFC 5508 for how a NAT treats them.
//
// A mapping is a ping socket: one for each identifier of a guest and family on the host's side. It has the guest's identifier
// where that is free; where not, it is translated both ways. Sequence numbers and data stay. It ends 60 s after the last
// request (RFC 5508 REQ-1). Only who was asked may answer. Where the host's users have no ping sockets
// (net.ipv4.ping_group_range), guests are told that it is prohibited: no reply is ever made here.

import { assert } from '../core/assert.ts';
import { US_PER_S } from '../core/time.ts';
import { NO_TIMER, TimerWheel } from '../core/timer-wheel.ts';
import {
  type Address,
  ANY_ADDRESS,
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
  SocketProtocol,
  SocketType,
} from '../stack/stack.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmp6 from '../wire/icmp6.ts';
import { PAYLOAD_BYTES_MAX } from './datagram-batch.ts';
import { FlowErrors } from './flow-errors.ts';
import { FlowReceiver } from './flow-receiver.ts';
import { FlowRoom } from './flow-room.ts';
import { FlowSender } from './flow-sender.ts';
import { FlowTable, flowKey, MappingFlag, NO_ROW } from './flow-table.ts';
import { whereText } from './flow-text.ts';
import { FlowKind, type FlowParts, type FlowView, NO_STATION, Protocol, Verdict } from './parts.ts';

export interface EchoOptions {
  readonly timeoutUs: number;
  readonly mappingsMax: number;
  readonly remotesMax: number;
  /** Of one guest. */
  readonly remotesOfStationMax: number;
  readonly remotesOfOneMax: number;
}

export const ECHO: EchoOptions = {
  timeoutUs: 60 * US_PER_S,
  mappingsMax: 1024,
  remotesMax: 4096,
  remotesOfStationMax: 1024,
  remotesOfOneMax: 256,
};

const RECEIVE_BYTES = 1 << 20; // what guests send in one breath
const KEY = 0x6563686f;
const UNCUT6_BYTES = 1280 - 40; // RFC 8200 §5: every path takes it
const NO_PORT = 0;

/** The user of its sockets on both sides; who owns it gives it turns as to a part of the stack. */
export class EchoFlows {
  readonly table: FlowTable;
  private readonly room: FlowRoom;
  private readonly parts: FlowParts;
  private readonly options: EchoOptions;
  private readonly timers: TimerWheel;
  private readonly errors: FlowErrors;
  private readonly sender: FlowSender;
  private readonly receiver: FlowReceiver;
  private readonly h4: number;
  private readonly h6: number;
  private readonly guest: Address = new Int32Array(4);
  private readonly name: Address = new Int32Array(4);
  private readonly outside: Address = new Int32Array(4);
  private readonly hostName = new SocketName();

  constructor(parts: FlowParts, options: Partial<EchoOptions> = {}) {
    this.parts = parts;
    this.options = { ...ECHO, ...options };
    const { mappingsMax, remotesMax, remotesOfStationMax, remotesOfOneMax } = this.options;
    const key = flowKey(parts.stack.shared.secret, KEY);
    this.table = new FlowTable({ mappingsMax, remotesMax, remotesOfStationMax, remotesOfOneMax, key });
    this.timers = new TimerWheel({ timersMax: mappingsMax });
    this.room = new FlowRoom(parts, this.table, FlowKind.Echo, (m) => this.remove(m));
    this.errors = new FlowErrors(parts);
    this.receiver = new FlowReceiver(parts, {
      deliver: (m, from, _port, at, bytes, hops, trafficClass) => this.deliver(m, from, at, bytes, hops, trafficClass),
      about: (m, target, _port, at, bytes) => this.aboutHost(m, target, at, bytes),
      errors: this.errors,
    });
    this.sender = new FlowSender(parts, this.table, {
      errors: (m) => this.receiver.errors(m, this.table.handleOf(m), true),
      failed: (r, at, bytes, errno, info) => {
        this.about(r, at, bytes);
        this.errors.fail(errno, info, this.table.isIp6(this.table.mappingOf(r)));
      },
    });
    this.h4 = this.intercept(Family.Inet, SocketProtocol.Icmp);
    this.h6 = this.intercept(Family.Inet6, SocketProtocol.Icmp6);
  }

  private intercept(family: number, protocol: number): number {
    const { stack, iface } = this.parts;
    const { sockets } = stack;
    const h = sockets.socket(family, SocketType.Datagram, protocol);
    sockets.setOption(h, SocketOption.ReceiveBuffer, RECEIVE_BYTES);
    assert(sockets.gateway.intercept(h, iface) === 0, 'one gateway an interface');
    sockets.claim(h, { changed: () => this.drain(h) });
    return h;
  }

  /** All mappings; the ports are identifiers. */
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
      const dueUs = this.table.usedUs(m) + this.options.timeoutUs;
      if (dueUs > nowUs) this.timers.set(m, dueUs);
      else this.remove(m);
    }
  }

  close(): void {
    for (let m = 0; m < this.table.end; m++) if (this.table.isMapping(m)) this.remove(m);
    this.parts.stack.sockets.close(this.h4);
    this.parts.stack.sockets.close(this.h6);
  }

  private remove(m: number): void {
    const { table, parts } = this;
    this.timers.cancel(m);
    const h = table.handleOf(m);
    this.receiver.drop(h);
    parts.host.close(h);
    parts.caps.give(FlowKind.Echo, table.stationOf(m));
    table.removeMapping(m);
  }

  // From guests

  private drain(h: number): void {
    const { sender } = this;
    const { sockets, shared } = this.parts.stack;
    for (;;) {
      const bytes = sockets.receiveFrom(h, shared.bytes, sender.room, PAYLOAD_BYTES_MAX);
      if (bytes === -Errno.EAGAIN) break;
      if (bytes >= icmp.HEADER_BYTES) this.leave(sockets.message, bytes);
    }
    sender.flush();
  }

  /** A guest asks with the message of `bytes` at the sender's `room`. */
  private leave(message: Datagram, bytes: number): void {
    const { table, parts, sender } = this;
    const { nowUs, view } = parts.stack.shared;
    const { source, target, port } = message;
    let r = table.findOut(source, port, target, NO_PORT);
    if (r !== NO_ROW && message.mac !== table.macOf(table.mappingOf(r)) && !this.isFrom(message)) return;
    if (r !== NO_ROW && nowUs >= table.remoteUsed(r) + this.options.timeoutUs) {
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
    const isIp6 = table.isIp6(m);
    const at = sender.room;
    table.setMac(m, message.mac);
    table.touch(r, nowUs);
    table.setNote(m, icmp.seq(view, at));
    table.countOut(m, bytes, nowUs);
    parts.counters.echoRequests++;
    icmp.setType(view, at, isIp6 ? icmp6.Type.EchoRequest : icmp.Type.EchoRequest);
    icmp.setId(view, at, table.hostPortOf(m));
    // RFC 7915 §5.1: what IPv6 may send anywhere, IPv4 may have to cut.
    const isSmall = !isIp6 && table.isGuest6(m) && bytes <= UNCUT6_BYTES;
    const isWhole = (message.flags & DatagramFlag.DontFragment) !== 0 && !isSmall;
    sender.add(r, bytes, Math.max(1, message.hops - 1), message.trafficClass, isWhole);
  }

  /** False if the guest's address is another's than the sender's, which is counted. */
  private isFrom({ source, mac }: Datagram): boolean {
    const { senders, counters } = this.parts;
    if (!senders.isForged(source, mac)) return true;
    counters.forged++;
    return false;
  }

  /** The guest has not asked there, or not for long: a remote, or `NO_ROW` and the guest is told. */
  private open(message: Datagram, bytes: number): number {
    const { table, outside, parts, errors, sender } = this;
    const { source, target, port } = message;
    if (isAnyAddress(source) || isMulticast(source) || isLoopback(source)) {
      parts.counters.lost++;
      return NO_ROW;
    }
    if (!this.isFrom(message)) return NO_ROW;
    const protocol = protocolOf(source);
    const sequence = icmp.seq(parts.stack.shared.view, sender.room);
    const { HEADER_BYTES } = icmp;
    errors.about(protocol, source, port, target, sequence, sender.room + HEADER_BYTES, bytes - HEADER_BYTES);
    assignAddress(outside, ANY_ADDRESS);
    const verdict = parts.targets.decide(protocol, source, target, NO_PORT, outside);
    if (verdict !== Verdict.Go) {
      if (verdict === Verdict.Prohibited) parts.counters.prohibited++;
      // No echo has a port that could be closed.
      errors.refuse(verdict === Verdict.Refused ? Verdict.Prohibited : verdict);
      return NO_ROW;
    }
    const isIp6 = !isIp4(outside);
    let m = table.findMapping(source, port, isIp6);
    if (m === NO_ROW) m = this.openMapping(source, port, isIp6, message.mac);
    if (m === NO_ROW) return m;
    return table.addRemote(m, target, NO_PORT, outside, NO_PORT, parts.stack.shared.nowUs);
  }

  /** A ping socket, with the guest's identifier if it is free; `NO_ROW` and the guest is told if the host forbids it. */
  private openMapping(guest: Address, id: number, isIp6: boolean, mac: number): number {
    const { parts, table, hostName } = this;
    const { host, caps, counters } = parts;
    const station = this.room.take(guest, mac);
    if (station === NO_STATION) return NO_ROW;
    let h = host.openEcho(isIp6, id);
    if (h === -Errno.EADDRINUSE) h = host.openEcho(isIp6, 0);
    if (h < 0) {
      caps.give(FlowKind.Echo, station);
      if (h !== -Errno.EACCES && h !== -Errno.EPERM) counters.hostFull++;
      else {
        counters.echoForbidden++;
        this.errors.refuse(Verdict.Prohibited);
      }
      return NO_ROW;
    }
    host.local(h, hostName);
    const { nowUs } = parts.stack.shared;
    const m = table.addMapping(guest, id, isIp6, h, hostName.port, nowUs);
    table.setStation(m, station);
    this.receiver.add(h, m);
    this.timers.set(m, nowUs + this.options.timeoutUs);
    return m;
  }

  // From outside

  private deliver(m: number, from: Address, at: number, bytes: number, hops: number, trafficClass: number): void {
    const { table, guest, name, parts } = this;
    const { counters, stack } = parts;
    const { nowUs, view } = stack.shared;
    const reply = table.isIp6(m) ? icmp6.Type.EchoReply : icmp.Type.EchoReply;
    const r = table.findAt(m, from);
    const isAsked = r !== NO_ROW && nowUs < table.remoteUsed(r) + this.options.timeoutUs;
    if (!isAsked || bytes < icmp.HEADER_BYTES || icmp.type(view, at) !== reply) {
      counters.filtered++;
      return;
    }
    table.nameInto(r, name);
    table.guestInto(m, guest);
    const isGuest6 = table.isGuest6(m);
    icmp.setType(view, at, isGuest6 ? icmp6.Type.EchoReply : icmp.Type.EchoReply);
    icmp.setCode(view, at, 0);
    icmp.setId(view, at, table.portOf(m));
    const left = hops < 0 ? -1 : Math.max(1, hops - 1);
    const { gateway } = stack.sockets;
    const h = isGuest6 ? this.h6 : this.h4;
    if (gateway.sendFrom(h, stack.shared.bytes, at, bytes, name, NO_PORT, guest, NO_PORT, left, trafficClass) < 0) {
      counters.lost++;
      return;
    }
    table.mark(m, MappingFlag.Answered);
    table.countIn(m, bytes, nowUs, false);
    counters.echoReplies++;
  }

  // What is said about it

  /** `bytes` at `at` are an echo request as far as it is known. */
  private about(r: number, at: number, bytes: number): void {
    const { table, guest, name } = this;
    const { view } = this.parts.stack.shared;
    const m = table.mappingOf(r);
    table.guestInto(m, guest);
    table.nameInto(r, name);
    const isWhole = bytes >= icmp.HEADER_BYTES;
    const sequence = isWhole ? icmp.seq(view, at) : table.noteOf(m);
    const left = isWhole ? bytes - icmp.HEADER_BYTES : 0;
    this.errors.about(protocolOf(guest), guest, table.portOf(m), name, sequence, at + icmp.HEADER_BYTES, left);
  }

  private aboutHost(m: number, target: Address, at: number, bytes: number): boolean {
    const r = this.table.findAt(m, target);
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
      protocol: table.isGuest6(m) ? 'icmp6' : 'icmp',
      guest: whereText(guest, table.portOf(m)),
      target: newest === NO_ROW ? '' : whereText(name, NO_PORT),
      host: whereText(hostName.address, hostName.port),
      direction: 'out',
      state: 'open',
      bytesOut: table.bytesOut(m),
      bytesIn: table.bytesIn(m),
      ageSeconds: (nowUs - table.openedUs(m)) / US_PER_S,
      idleSeconds: (nowUs - table.seenUs(m)) / US_PER_S,
    };
  }
}

const protocolOf = (guest: Address): Protocol => (isIp4(guest) ? Protocol.Icmp : Protocol.Icmp6);
