// A gateway with DHCP, on a bare wire for crafted messages, and in a network of stacks of ours; virtual time.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Slab } from '../../core/slab.ts';
import { DhcpService, type DhcpServiceOptions } from '../../service/service.ts';
import { newSwitchNode, type SimNode, World } from '../../sim/sim.ts';
import { type Address, formatAddress, parseAddress, Stack, StackPort } from '../../stack/stack.ts';
import { viewOf } from '../../wire/bytes.ts';
import { checksumOf, finish, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import * as ethernet from '../../wire/ethernet.ts';
import { addAddress, type Host, newHost, secretOf } from '../kit/stack-kit.ts';

export const S = 1_000_000;
export const ETH = 2;
/** The wall clock when the world begins. */
export const T = 1_790_000_000;
export const GATEWAY_MAC = Uint8Array.of(0x52, 0x55, 0x0a, 0, 2, 2);
export const ip = (text: string): Address => parseAddress(text)!;
export const number4 = (text: string): number => ip(text)[3]! >>> 0;
export const macOf = (n: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, n >> 8, n & 255);

/** What a test changes of the options; settings are merged one by one. */
export type Changes = Partial<Omit<DhcpServiceOptions, 'settings'>> & {
  readonly settings?: Partial<DhcpServiceOptions['settings']>;
};

/** Gateway 10.0.2.2 and fd00::2, DNS 10.0.2.3 and fd00::3, a pool of 240. */
export function optionsOf(nowS: () => number, { settings, ...changes }: Changes = {}): DhcpServiceOptions {
  return {
    leaseS: 3600,
    pool4: { first: ip('10.0.2.15'), count: 240, bits: 24 },
    pool6: { first: ip('fd00::1:0'), count: 4096, bits: 64 },
    nowS,
    ...changes,
    settings: {
      domain: 'weft.test',
      search: ['weft.test', 'lab.weft.test'],
      mtuBytes: 1400,
      ip4: { server: ip('10.0.2.2'), bits: 24, gateway: ip('10.0.2.2'), dns: [ip('10.0.2.3')] },
      ip6: { dns: [ip('fd00::3')] },
      ...settings,
    },
  };
}

/** A stack that is the gateway, on interface 2. */
function gatewayHost(slab: Slab): Host {
  const stack = new Stack({ slab, secret: secretOf(1, 99), nowUs: 0 });
  const iface = stack.addInterface({
    name: 'gw',
    mac: GATEWAY_MAC,
    mtuBytes: 65_520,
    acceptsAny: true,
    dadTransmits: 0,
  });
  for (const text of ['10.0.2.2/24', '10.0.2.3/24', 'fd00::2/64', 'fd00::3/64', 'fe80::2/64']) {
    addAddress(stack, iface.number, text);
  }
  return { stack, port: new StackPort(stack, iface) };
}

/** A gateway alone: frames that are given to it, and what it answers. */
export class Gate {
  readonly stack: Stack;
  readonly slab = new Slab({ bytesMax: 16 << 20 });
  service: DhcpService;
  /** The wall clock. */
  nowS = T;
  private readonly at: number;
  private readonly changes: Changes;
  private readonly burst = new Burst(64);

  constructor(changes: Changes = {}) {
    this.changes = changes;
    this.stack = gatewayHost(this.slab).stack;
    this.service = new DhcpService(this.stack, ETH, this.options());
    this.at = this.slab.alloc(1 << 17);
    this.wait(30); // reports of groups and announcements are over
  }

  private options(): DhcpServiceOptions {
    return optionsOf(() => this.nowS, this.changes);
  }

  /** The gateway's process is killed, and starts anew with what it had saved. */
  restart(text = this.service.leases.save(this.nowS)): string {
    this.service.close();
    this.service = new DhcpService(this.stack, ETH, this.options());
    return this.service.leases.load(text, this.nowS);
  }

  wait(seconds: number): void {
    this.nowS += seconds;
    const nowUs = (this.nowS - T) * S;
    this.stack.expire(nowUs);
    this.settle(nowUs);
  }

  /** A frame comes in; the frames that leave because of it. */
  give(frame: Uint8Array): Uint8Array[] {
    this.slab.bytes.set(frame, this.at);
    const nowUs = (this.nowS - T) * S;
    this.stack.receive(this.stack.interfaces.get(ETH)!, this.at, frame.length, PLAIN, nowUs);
    return this.settle(nowUs);
  }

  private settle(nowUs: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const { output } = this.stack.interfaces.get(ETH)!;
    for (let turn = 0; turn < 4; turn++) {
      this.stack.dispatch(nowUs);
      this.stack.poll(nowUs);
      for (let isLeft = true; isLeft; ) {
        this.burst.count = 0;
        isLeft = output.drain(this.burst);
        for (let i = 0; i < this.burst.count; i++) {
          const at = this.burst.at[i]!;
          frames.push(this.slab.bytes.slice(at, at + this.burst.length[i]!));
        }
      }
    }
    return frames;
  }
}

/** A UDP datagram over IPv4 in a frame. */
export function frame4(
  message: Uint8Array,
  { mac = macOf(1), to = 'all', source = 0, target = 0xffffffff, ports = [68, 67] as [number, number] } = {},
): Uint8Array {
  const frame = new Uint8Array(42 + message.length);
  const view = viewOf(frame);
  ethernet.writeHeader(view, 0, to === 'all' ? new Uint8Array(6).fill(255) : GATEWAY_MAC, mac, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, frame.length - 14);
  view.setUint16(22, 0x4011);
  view.setUint32(26, source);
  view.setUint32(30, target);
  view.setUint16(24, finish(checksumOf(view, 14, 20, 0)));
  view.setUint16(34, ports[0]);
  view.setUint16(36, ports[1]);
  const bytes = 8 + message.length;
  view.setUint16(38, bytes);
  frame.set(message, 42);
  view.setUint16(40, finish(checksumOf(view, 34, bytes, pseudoHeader4(view, 14, 17, bytes))) || 0xffff);
  return frame;
}

/** A UDP datagram over IPv6 in a frame, to ff02::1:2. */
export function frame6(message: Uint8Array, { n = 1, source = linkLocal(n), target = 'ff02::1:2' } = {}): Uint8Array {
  const frame = new Uint8Array(62 + message.length);
  const view = viewOf(frame);
  const to = target === 'ff02::1:2' ? Uint8Array.of(0x33, 0x33, 0, 1, 0, 2) : GATEWAY_MAC;
  ethernet.writeHeader(view, 0, to, macOf(n), 0x86dd);
  view.setUint8(14, 0x60);
  const bytes = 8 + message.length;
  view.setUint16(18, bytes);
  view.setUint8(20, 17);
  view.setUint8(21, 1);
  for (let i = 0; i < 4; i++) {
    view.setInt32(22 + 4 * i, ip(source)[i]!);
    view.setInt32(38 + 4 * i, ip(target)[i]!);
  }
  view.setUint16(54, 546);
  view.setUint16(56, 547);
  view.setUint16(58, bytes);
  frame.set(message, 62);
  view.setUint16(60, finish(checksumOf(view, 54, bytes, pseudoHeader6(view, 14, 17, bytes))) || 0xffff);
  return frame;
}

/** The link-local address of guest `n`, of its MAC address. */
export const linkLocal = (n: number): string => formatAddress(ip(`fe80::ff:fe00:${n.toString(16)}`));

/** One DHCPv6 answer, read. */
export interface Answer6 {
  readonly type: number;
  readonly target: string;
  readonly status: number;
  readonly ias: readonly dhcp6.Ia[];
  /** Addresses with a lifetime, and those without. */
  readonly addresses: readonly string[];
  readonly ended: readonly string[];
  readonly codes: readonly number[];
  readonly value: (code: number) => Uint8Array | undefined;
}

const text16 = (bytes: Uint8Array): string => {
  const view = viewOf(bytes);
  return formatAddress(Int32Array.of(0, 4, 8, 12).map((at) => view.getInt32(at)));
};

/** The DHCPv6 answers among frames. */
export const answers6 = (frames: readonly Uint8Array[]): Answer6[] =>
  frames
    .filter((frame) => frame[12] === 0x86 && frame[20] === 17 && viewOf(frame).getUint16(54) === 547)
    .map((frame) => {
      const message = frame.slice(62);
      const view = viewOf(message);
      const options = dhcp6.readOptions(view, 4, message.length - 4)!;
      const ias = options.filter(({ code }) => code === 3).map((option) => dhcp6.readIa(view, option, 9)!);
      const all = ias.flatMap((ia) => ia.addresses);
      return {
        type: message[0]!,
        target: text16(frame.slice(38, 54)),
        status: dhcp6.statusOf(view, options)!,
        ias,
        addresses: all.filter(({ validS }) => validS > 0).map(({ address }) => text16(address)),
        ended: all.filter(({ validS }) => validS === 0).map(({ address }) => text16(address)),
        codes: options.map(({ code }) => code),
        value: (code: number) => {
          const option = dhcp6.find(options, code);
          return option && dhcp6.optionBytes(view, option);
        },
      };
    });

/** One DHCPv4 answer, read. */
export interface Answer {
  readonly type: number;
  readonly yiaddr: string;
  readonly siaddr: string;
  readonly options: dhcp4.Options;
  readonly message: Uint8Array;
  /** Where the frame went to. */
  readonly mac: string;
  readonly target: string;
  readonly ports: readonly [number, number];
  readonly text: (code: number) => string;
  readonly file: string;
}

const asText = (bytes: Uint8Array | undefined): string => String.fromCharCode(...(bytes ?? []));
export const text4 = (n: number): string => formatAddress(Int32Array.of(0, 0, 0xffff, n));

/** The DHCPv4 answers among frames. */
export const answers4 = (frames: readonly Uint8Array[]): Answer[] =>
  frames
    .filter((frame) => frame[12] === 8 && frame[13] === 0 && frame[23] === 17 && viewOf(frame).getUint16(34) === 67)
    .map((frame) => {
      const view = viewOf(frame);
      const message = frame.slice(42);
      const inner = viewOf(message);
      const options = dhcp4.isMessage(inner, 0, message.length)
        ? dhcp4.readOptions(inner, 0, message.length)!
        : (new Map() as dhcp4.Options);
      return {
        type: options.get(53)?.[0] ?? 0,
        yiaddr: text4(dhcp4.yiaddr(inner, 0)),
        siaddr: text4(dhcp4.siaddr(inner, 0)),
        options,
        message,
        mac: Array.from(frame.subarray(0, 6), (b) => b.toString(16).padStart(2, '0')).join(':'),
        target: text4(view.getUint32(30)),
        ports: [view.getUint16(34), view.getUint16(36)] as const,
        text: (code: number) => asText(options.get(code)),
        file: asText(message.subarray(108, 236)).replace(/\0.*$/s, ''),
      };
    });

/** A gateway and guests of ours around a switch. Guests are numbered from 0; MACs are those of `newHost`, from 1. */
export class Net {
  readonly world: World;
  readonly gateway: Stack;
  service: DhcpService;
  readonly guests: Stack[] = [];
  private readonly nodes: SimNode[] = [];
  private readonly changes: Changes;
  /** Seconds that the wall clock is ahead of what it should be. */
  aheadS = 0;

  constructor(guests: number, changes: Changes = {}, dadTransmits = 0) {
    this.changes = changes;
    this.world = new World({ seed: 5, slabBytes: 1 << 28 });
    const { slab } = this.world;
    const middle = newSwitchNode(slab, { portsMax: guests + 1 });
    const center = this.world.node('switch', middle.ports);
    const host = gatewayHost(slab);
    this.gateway = host.stack;
    this.join('gateway', host, center, 0);
    for (let n = 0; n < guests; n++) {
      const guest = newHost(slab, n + 1, { addresses: [], seed: 3, dadTransmits });
      this.guests.push(guest.stack);
      this.join(`guest${n}`, guest, center, n + 1);
    }
    this.service = this.newService();
  }

  private join(name: string, { stack, port }: Host, center: SimNode, number: number): void {
    const node = this.world.node(name, [port]);
    this.nodes.push(node);
    this.world.link(node, { node: center, port: number }, { delayUs: 100 });
    stack.onWake(() => this.world.touch(node));
  }

  private newService(): DhcpService {
    const nowS = (): number => T + this.aheadS + Math.floor(this.world.nowUs / S);
    return new DhcpService(this.gateway, ETH, optionsOf(nowS, this.changes));
  }

  get nowS(): number {
    return T + this.aheadS + Math.floor(this.world.nowUs / S);
  }

  /** The DHCP servers end and start anew with what they had saved, or with `text`. */
  restart(text = this.service.leases.save(this.nowS)): string {
    this.service.close();
    this.service = this.newService();
    return this.service.leases.load(text, this.nowS);
  }

  apply(line: string, ...guests: readonly number[]): void {
    for (const n of guests) {
      this.guests[n]!.tick(this.world.nowUs);
      this.guests[n]!.configuration.apply(line, ETH);
    }
  }

  /** The usable addresses of a guest that are not link-local. */
  addresses(n: number): string[] {
    const { addresses } = this.guests[n]!;
    return addresses
      .ids()
      .filter((a) => addresses.ifaceOf(a) === ETH && addresses.isUsable(a))
      .map((a) => `${formatAddress(addresses.addressOf(a))}/${addresses.bitsOf(a)}`)
      .filter((text) => !text.startsWith('fe80'));
  }

  /** Runs until it holds, looking every tenth of a second; false if it did not within `us`. */
  until(condition: () => boolean, us: number): boolean {
    for (const endUs = this.world.nowUs + us; this.world.nowUs < endUs; ) {
      if (condition()) return true;
      this.run(S / 10);
    }
    return condition();
  }

  run(us: number): void {
    this.world.run({ untilUs: this.world.nowUs + us });
  }
}
