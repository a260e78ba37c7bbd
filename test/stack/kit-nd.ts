// A host with one Ethernet interface and nothing above neighbour discovery: frames in, frames out, virtual time.

import { Burst } from '../../core/burst.ts';
import { Slab } from '../../core/slab.ts';
import { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { type Address, format, parse, read6, write6 } from '../../stack/address.ts';
import { Addresses, AddressOrigin } from '../../stack/autoconf/addresses.ts';
import { Autoconf } from '../../stack/autoconf/autoconf.ts';
import { LIMITS } from '../../stack/limits.ts';
import { Interfaces, type NetworkInterface } from '../../stack/link/interfaces.ts';
import { Routes } from '../../stack/net/routes.ts';
import { Shared } from '../../stack/shared.ts';
import { checksumOf, finish, pseudoHeader6 } from '../../wire/checksum.ts';
import { formatMac } from '../../wire/ethernet.ts';
import { formatAddress } from '../../wire/ipv4.ts';
import { addressText } from '../../wire/ipv6.ts';
import { bytesOf, hexOf } from '../kit/hex.ts';

export const S = 1_000_000;
export const OWN_MAC = '020000000001';
export const PEER_MAC = '020000000002';
export const OTHER_MAC = '020000000003';

/** An address that is known to be one. */
export const ip = (text: string): Address => parse(text)!;

/** A frame that was sent, and when. */
export interface Sent {
  readonly us: number;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const hex6 = (text: string): string => {
  const view = new DataView(new ArrayBuffer(16));
  write6(view, 0, ip(text));
  return hexOf(new Uint8Array(view.buffer));
};

const hex4 = (text: string): string => hex6(text).slice(24);

/** Options and messages as hex. */
export const sourceMac = (mac: string): string => `0101${mac}`;
export const targetMac = (mac: string): string => `0201${mac}`;
const num = (value: number, bytes: number): string => value.toString(16).padStart(2 * bytes, '0');
export const mtuOption = (mtu: number): string => `05010000${num(mtu, 4)}`;
export const nonceOption = (nonce: string): string => `0e01${nonce}`;

export function prefixOption(
  prefix: string,
  o: { bits?: number; flags?: number; valid?: number; preferred?: number } = {},
) {
  const { bits = 64, flags = 0xc0, valid = 86400, preferred = 14400 } = o;
  return `0304${num(bits, 1)}${num(flags, 1)}${num(valid, 4)}${num(preferred, 4)}00000000${hex6(prefix)}`;
}

export const routeOption = (prefix: string, bits: number, flags: number, seconds: number): string =>
  `1803${num(bits, 1)}${num(flags, 1)}${num(seconds, 4)}${hex6(prefix)}`;

export const rdnssOption = (seconds: number, ...servers: string[]): string =>
  `19${num(1 + 2 * servers.length, 1)}0000${num(seconds, 4)}${servers.map(hex6).join('')}`;

export const ns = (target: string, options = ''): string => `8700000000000000${hex6(target)}${options}`;
export const na = (target: string, flags: number, options = ''): string =>
  `88000000${num(flags, 1)}000000${hex6(target)}${options}`;
export const rs = (options = ''): string => `8500000000000000${options}`;
export const redirect = (target: string, destination: string, options = ''): string =>
  `8900000000000000${hex6(target)}${hex6(destination)}${options}`;

export function ra(
  o: {
    hopLimit?: number;
    flags?: number;
    lifetime?: number;
    reachable?: number;
    retrans?: number;
    options?: string;
  } = {},
): string {
  const { hopLimit = 64, flags = 0, lifetime = 1800, reachable = 0, retrans = 0, options = '' } = o;
  const fixed = `86000000${num(hopLimit, 1)}${num(flags, 1)}${num(lifetime, 2)}${num(reachable, 4)}${num(retrans, 4)}`;
  return fixed + options;
}

/** ARP without Ethernet header. */
export const arpPacket = (op: number, sender: string, senderIp: string, target: string, targetIp: string): string =>
  `000108000604${num(op, 2)}${sender}${hex4(senderIp)}${target}${hex4(targetIp)}`;

export const ZERO_MAC = '000000000000';

export interface Envelope {
  readonly hopLimit?: number;
  readonly alert?: boolean;
  readonly wasReassembled?: boolean;
  readonly bytes?: number;
}

const groupMac = (target: Address): string =>
  target[0] === 0 ? '' : `3333${((target[3] ?? 0) >>> 0).toString(16).padStart(8, '0')}`;

export class Bench {
  readonly slab = new Slab({ bytesMax: 8 << 20 });
  readonly shared: Shared;
  readonly interfaces: Interfaces;
  readonly routes: Routes;
  readonly addresses: Addresses;
  readonly autoconf: Autoconf;
  readonly iface: NetworkInterface;
  private readonly burst = new Burst(64);
  private readonly at: number;

  constructor({ seed = 1, limits = LIMITS, mtuBytes = 1500, mac = OWN_MAC } = {}) {
    this.shared = new Shared(this.slab, Int32Array.of(seed, 2, 3, 4));
    this.interfaces = new Interfaces(this.slab, limits);
    this.routes = new Routes(this.shared, limits);
    this.addresses = new Addresses(limits, this.routes);
    this.iface = this.interfaces.add({ name: 'eth0', mac: bytesOf(mac), mtuBytes });
    this.autoconf = new Autoconf(this.shared, this.interfaces, this.addresses, this.routes, limits);
    this.at = this.slab.alloc(4096);
  }

  get nowUs(): number {
    return this.shared.nowUs;
  }

  /** What was sent since the last call. */
  sent(): Sent[] {
    const out: Sent[] = [];
    for (let more = true; more; ) {
      this.burst.count = 0;
      more = this.iface.output.drain(this.burst);
      for (let i = 0; i < this.burst.count; i++) {
        const bytes = this.slab.bytes.slice(this.burst.at[i]!, this.burst.at[i]! + this.burst.length[i]!);
        out.push({ us: this.nowUs, bytes, text: describe(bytes) });
      }
    }
    this.burst.count = 0;
    this.iface.output.drain(this.burst);
    return out;
  }

  texts(): string[] {
    return this.sent().map((one) => one.text);
  }

  /** Runs all timers up to `us` from now, to the exact µs; what was sent meanwhile. */
  run(us: number): Sent[] {
    const until = this.nowUs + us;
    const out: Sent[] = this.sent();
    for (let steps = 0; steps < 100_000; steps++) {
      const due = Math.min(this.autoconf.deadlineUs(), this.routes.deadlineUs());
      if (due > until || due === NEVER) break;
      this.shared.nowUs = Math.max(this.nowUs, due);
      this.autoconf.expire();
      this.routes.expire();
      out.push(...this.sent());
    }
    this.shared.nowUs = until;
    return out;
  }

  /** Gives an ARP packet to the host: the drop reason. */
  arp(hex: string, bytes = bytesOf(hex)): number {
    this.slab.bytes.fill(0, this.at, this.at + 64);
    this.slab.bytes.set(bytes, this.at);
    return this.autoconf.arp.receive(this.iface, this.at, bytes.length);
  }

  /** Gives an ICMPv6 message to neighbour discovery or MLD as the network layer would. */
  icmp(source: string, target: string, hex: string, envelope: Envelope = {}): number {
    return this.message(source, target, bytesOf(hex), envelope);
  }

  message(source: string, target: string, message: Uint8Array, envelope: Envelope): number {
    const { packet, view, bytes } = this.shared;
    const { hopLimit = 255, alert = false, wasReassembled = false } = envelope;
    const start = this.at + 14;
    const front = 40 + (alert ? 8 : 0);
    bytes.fill(0, this.at, this.at + 2048);
    bytes.set(
      bytesOf(`60000000${num(message.length + front - 40, 2)}${alert ? '00' : '3a'}${num(hopLimit, 1)}`),
      start,
    );
    bytes.set(bytesOf(hex6(source) + hex6(target)), start + 8);
    if (alert) bytes.set(bytesOf('3a00050200000100'), start + 40);
    bytes.set(message, start + front);
    packet.iface = this.iface.number;
    packet.isIp6 = true;
    packet.ip = start;
    packet.ipBytes = front + message.length;
    packet.at = start + front;
    packet.bytes = message.length;
    packet.hopLimit = hopLimit;
    packet.wasReassembled = wasReassembled;
    read6(view, start + 8, packet.source);
    read6(view, start + 24, packet.target);
    const type = message[0]!;
    const isListening = (type >= 130 && type <= 132) || type === 143;
    return isListening ? this.autoconf.mld.receive(packet) : this.autoconf.ndp.receive(packet);
  }

  /** Takes a whole frame off the link, as the layers below would hand it over: ARP and ICMPv6 only. */
  take(frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const to = hexOf(frame.subarray(0, 6));
    if (view.getUint16(12) === 0x0806) {
      if (to === 'ffffffffffff' || to === hexOf(this.iface.mac)) this.arp('', frame.slice(14));
      return;
    }
    const alert = view.getUint8(20) === 0;
    const at = alert ? 62 : 54;
    const target = new Int32Array(4);
    read6(view, 38, target);
    const isMember = this.autoconf.multicast.isMember(this.iface.number, target, target);
    const isHeard = to === hexOf(this.iface.mac) || (to === groupMac(target) && isMember);
    if (!isHeard || view.getUint8(alert ? 54 : 20) !== 58) return;
    const source = addressText(view, 22);
    const message = frame.slice(at, 54 + view.getUint16(18));
    this.message(source, addressText(view, 38), message, { hopLimit: view.getUint8(21), alert });
  }

  /** Gives an IGMP message to the host; its checksum is computed unless `isSealed`. */
  igmp(source: string, target: string, hex: string, { alert = true, isSealed = false } = {}): number {
    const { packet, view, bytes } = this.shared;
    const message = bytesOf(hex);
    const start = this.at + 14;
    const front = alert ? 24 : 20;
    bytes.fill(0, this.at, this.at + 2048);
    bytes.set(
      bytesOf(`4${alert ? 6 : 5}c0${num(front + message.length, 2)}000000000102 0000${hex4(source)}${hex4(target)}`),
      start,
    );
    if (alert) bytes.set(bytesOf('94040000'), start + 20);
    bytes.set(message, start + front);
    if (!isSealed) view.setUint16(start + front + 2, finish(checksumOf(view, start + front, message.length)));
    packet.iface = this.iface.number;
    packet.isIp6 = false;
    packet.ip = start;
    packet.ipBytes = front + message.length;
    packet.at = start + front;
    packet.bytes = message.length;
    packet.hopLimit = 1;
    packet.source.set(ip(source));
    packet.target.set(ip(target));
    return this.autoconf.igmp.receive(packet);
  }

  /** A whole IP packet in a frame without target MAC, in the slab: for `Neighbors.hold`. */
  frame(source: string, target: string, mark = 0): { at: number; bytes: number } {
    const isIp6 = target.includes(':');
    const at = this.at;
    const bytes = 64;
    this.slab.bytes.fill(mark, at, at + bytes);
    const head = isIp6
      ? `6000000000003b40${hex6(source)}${hex6(target)}`
      : `4500001400000000ff3b0000${hex4(source)}${hex4(target)}`;
    this.slab.bytes.set(bytesOf(`ffffffffffff${OWN_MAC}${isIp6 ? '86dd' : '0800'}${head}`), at);
    return { at, bytes };
  }

  /** Sends a packet the way the network layer does; the neighbour. */
  send(source: string, target: string, mark = 0): number {
    const { neighbors } = this.autoconf;
    const n = neighbors.find(this.iface.number, ip(target));
    const { at, bytes } = this.frame(source, target, mark);
    if (neighbors.isUsable(n)) {
      neighbors.use(n);
      neighbors.writeMac(n, at);
      this.iface.output.push(at, bytes);
    } else neighbors.hold(n, at, bytes);
    return n;
  }

  /** An address that is preferred at once: tests of what comes after. */
  own(text: string, bits = 64, origin: AddressOrigin = AddressOrigin.Static): number {
    return this.addresses.add(this.iface.number, ip(text), bits, 2, origin, NEVER, NEVER);
  }

  state(text: string): string | undefined {
    return this.autoconf.neighbors.list().find((one) => one.address === format(ip(text)))?.state;
  }

  addressState(text: string): number {
    const a = this.addresses.find(ip(text), this.iface.number);
    return a < 0 ? 0 : this.addresses.stateOf(a);
  }

  /** All own addresses but loopback's: text, state, origin. */
  listAddresses(): { text: string; state: number; origin: number; a: number }[] {
    return this.addresses
      .ids()
      .filter((a) => this.addresses.ifaceOf(a) === this.iface.number)
      .map((a) => ({
        a,
        text: format(this.addresses.addressOf(a)),
        state: this.addresses.stateOf(a),
        origin: this.addresses.originOf(a),
      }));
  }

  events(): { kind: number; a: number; value: number }[] {
    const out = [];
    for (let e = this.autoconf.takeEvent(); e; e = this.autoconf.takeEvent())
      out.push({ kind: e.kind, a: e.a, value: e.value });
    return out;
  }

  save(): Uint8Array<ArrayBuffer> {
    const state = new StateWriter();
    this.interfaces.save(state);
    this.addresses.save(state);
    this.routes.save(state);
    this.autoconf.save(state);
    return state.finish();
  }

  load(bytes: Uint8Array, nowUs: number): void {
    const state = new StateReader(bytes);
    this.shared.nowUs = nowUs;
    this.interfaces.load(state);
    this.addresses.load(state);
    this.routes.load(state);
    this.autoconf.load(state);
  }

  /** Another host with the same state: it must go on in the same way. */
  twin(seed = 1): Bench {
    const twin = new Bench({ seed });
    twin.load(this.save(), this.nowUs);
    return twin;
  }
}

/** One line a frame; checksums are verified here. */
export function describe(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const to = formatMac(bytes.subarray(0, 6));
  const type = view.getUint16(12);
  if (type === 0x0806) {
    const op = view.getUint16(20) === 1 ? 'who-has' : 'is-at';
    return `arp ${op} ${formatAddress(view.getUint32(38))} tell ${formatAddress(view.getUint32(28))} to ${to}`;
  }
  if (type === 0x0800) return describe4(view, to);
  const next = view.getUint8(20);
  const at = next === 0 ? 62 : 54;
  const protocol = next === 0 ? view.getUint8(54) : next;
  const addresses = `${addressText(view, 22)} > ${addressText(view, 38)}`;
  if (protocol !== 58) return `ip6 ${addresses} to ${to}`;
  const length = view.getUint16(18) - (at - 54);
  const sum = checksumOf(view, at, length, pseudoHeader6(view, 14, 58, length));
  if (sum !== 0xffff) return 'bad icmp6 checksum';
  const hop = view.getUint8(21);
  const alert = next === 0 ? ' alert' : '';
  return `${describe6(view, at)} ${addresses} hop ${hop}${alert} to ${to}`;
}

function describe6(view: DataView, at: number): string {
  const type = view.getUint8(at);
  switch (type) {
    case 133:
      return 'rs';
    case 134:
      return `ra ${view.getUint16(at + 6)}s`;
    case 135:
      return `ns ${addressText(view, at + 8)}`;
    case 136:
      return `na ${addressText(view, at + 8)} ${(view.getUint8(at + 4) >>> 5).toString(2).padStart(3, '0')}`;
    case 131:
      return `report1 ${addressText(view, at + 8)}`;
    case 132:
      return `done ${addressText(view, at + 8)}`;
    case 143:
      return `report2 ${records(view, at, 20, (p) => addressText(view, p), 16)}`;
    default:
      return `icmp6 ${type}`;
  }
}

function describe4(view: DataView, to: string): string {
  const addresses = `${formatAddress(view.getUint32(26))} > ${formatAddress(view.getUint32(30))}`;
  if (view.getUint8(23) !== 2) return `ip4 ${addresses} to ${to}`;
  const at = 14 + (view.getUint8(14) & 15) * 4;
  if (checksumOf(view, 14, at - 14) !== 0xffff) return 'bad ip4 checksum';
  if (checksumOf(view, at, 14 + view.getUint16(16) - at) !== 0xffff) return 'bad igmp checksum';
  const rest = `${addresses} ttl ${view.getUint8(22)} tos ${view.getUint8(15)}${view.getUint32(34) === 0x94040000 ? ' alert' : ''} to ${to}`;
  const type = view.getUint8(at);
  if (type === 0x22) return `report3 ${records(view, at, 8, (p) => formatAddress(view.getUint32(p)), 4)} ${rest}`;
  const name = type === 0x16 ? 'report2' : type === 0x12 ? 'report1' : type === 0x17 ? 'leave' : `igmp ${type}`;
  return `${name} ${formatAddress(view.getUint32(at + 4))} ${rest}`;
}

const RECORDS = ['', 'is-in', 'is-ex', 'to-in', 'to-ex', 'allow', 'block'];

function records(view: DataView, at: number, fixed: number, text: (p: number) => string, size: number): string {
  let p = at + 8;
  const out: string[] = [];
  for (let i = 0; i < view.getUint16(at + 6); i++) {
    const sources = view.getUint16(p + 2);
    const list = Array.from({ length: sources }, (_, k) => text(p + fixed + k * size));
    out.push(`${RECORDS[view.getUint8(p)]}(${text(p + 4)}${list.map((s) => ` ${s}`).join('')})`);
    p += fixed + sources * size;
  }
  return out.join(',');
}
