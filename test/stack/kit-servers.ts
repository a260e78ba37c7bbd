// A stack that is configured, and one that serves it: DHCP of both families, DNS, router advertisements; virtual time.

import type { PairOptions } from '../../sim/sim.ts';
import { Pair } from '../../sim/sim.ts';
import { type Address, format, ip4Of, isLinkLocal, of4 } from '../../stack/address.ts';
import { ADVERTISEMENT, type Advertisement } from '../../stack/autoconf/advertisement.ts';
import { bytesOf } from '../../stack/config/resolver-names.ts';
import { SocketDatagrams } from '../../stack/config/socket-io.ts';
import { SocketOption } from '../../stack/socket/socket-options.ts';
import { AddressState, Errno, Family, formatAddress, parseAddress, SocketType, type Stack } from '../../stack/stack.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import * as dns from '../../wire/dns.ts';
import { record } from '../../wire/dns-data.ts';
import { addAddress, type Host, newHost } from '../kit/stack-kit.ts';

export const S = 1_000_000;
export const ETH = 2;
export const ip = (text: string): Address => parseAddress(text)!;
export const number4 = (text: string): number => ip4Of(ip(text));

interface Server {
  poll(): void;
}

/** `a` has no address; `b`, the server, is 10.0.0.1/24 and fd00::1/64. */
export class Lab {
  readonly pair: Pair;
  readonly a: Stack;
  readonly b: Stack;
  readonly servers: Server[] = [];
  /** What `a` had to tell. */
  readonly news: string[] = [];
  private readonly hosts: Host[] = [];

  constructor(options: { dadTransmits?: number; serverAddresses?: readonly string[]; link?: PairOptions } = {}) {
    const { dadTransmits = 0, serverAddresses = ['10.0.0.1/24', 'fd00::1/64', 'fe80::1/64'] } = options;
    this.pair = new Pair(
      (slab) => {
        const isClient = this.hosts.length === 0;
        const addresses = isClient ? [] : serverAddresses;
        // As `newHost` numbers MACs, 1 is the client.
        const host = newHost(slab, isClient ? 1 : 2, { addresses, dadTransmits: isClient ? dadTransmits : 0 });
        this.hosts.push(host);
        return host.port;
      },
      { delayUs: 1000, ...options.link },
    );
    this.a = this.hosts[0]!.stack;
    this.b = this.hosts[1]!.stack;
    this.a.onWake(() => this.pair.world.touch(this.pair.a));
    this.b.onWake(() => this.pair.world.touch(this.pair.b));
    this.pair.world.afterStep(() => {
      for (const server of this.servers) server.poll();
    });
  }

  apply(line: string): void {
    this.a.configuration.apply(line, ETH);
  }

  /** Runs until it holds; false if it did not within `us`. */
  until(condition: () => boolean, us: number): boolean {
    const isDone = this.pair.runUntil(condition, us);
    for (const { stack } of this.hosts) stack.tick(this.pair.nowUs); // programs may call them now
    this.news.push(...this.a.configuration.news());
    return isDone || condition();
  }

  run(us: number): void {
    this.until(() => false, us);
  }

  /** The usable addresses of `stack`'s interface, as text. */
  addresses(stack: Stack = this.a): string[] {
    return stack.addresses
      .ids()
      .filter((a) => stack.addresses.ifaceOf(a) === ETH && stack.addresses.isUsable(a))
      .map((a) => `${formatAddress(stack.addresses.addressOf(a))}/${stack.addresses.bitsOf(a)}`);
  }

  states(stack: Stack = this.a): string[] {
    const names = Object.entries(AddressState);
    return stack.addresses
      .ids()
      .filter((a) => stack.addresses.ifaceOf(a) === ETH)
      .map((a) => {
        const state = names.find(([, value]) => value === stack.addresses.stateOf(a))![0];
        return `${formatAddress(stack.addresses.addressOf(a))} ${state}`;
      });
  }

  has(text: string, stack: Stack = this.a): boolean {
    return this.addresses(stack).some((one) => one === text || one.startsWith(`${text}/`));
  }

  /** Who answers an echo of `a`, or the code of the error. */
  async ping(host: string): Promise<string> {
    return this.settled(this.a.streams.ping(host).then((answer) => answer.address));
  }

  /** The addresses of a name, as `a` finds them, or the code of the error. */
  async lookup(name: string, stack: Stack = this.a): Promise<string[] | string> {
    return this.settled(stack.configuration.lookup(name).then((found) => found.map(format)));
  }

  /** Runs the world until a promise is settled; an error is its code. */
  async settled<T>(promise: Promise<T>): Promise<T | string> {
    let result: T | string | undefined;
    promise.then(
      (value) => {
        result = value;
      },
      (error: { code?: string }) => {
        result = error.code ?? String(error);
      },
    );
    for (let steps = 0; result === undefined && steps < 20_000; steps++) {
      for (let turns = 0; turns < 16; turns++) await Promise.resolve();
      if (result === undefined) this.pair.step();
    }
    if (result === undefined) throw new Error('never settled');
    this.news.push(...this.a.configuration.news());
    return result;
  }

  /** `b` advertises from now on. */
  advertise(ad: Partial<Advertisement>): void {
    const wrong = this.b.autoconf.advertise(ETH, { ...ADVERTISEMENT, ...ad });
    if (wrong !== undefined) throw new Error(wrong);
    this.pair.world.touch(this.pair.b);
  }

  /** Another address for `b`. */
  give(address: string): void {
    addAddress(this.b, ETH, address);
  }
}

/** A minimal DHCPv4 server, RFC 2131: one address for whoever asks, options as set. */
export class Dhcp4Server implements Server {
  address = '10.0.0.5';
  leaseS = 3600;
  /** Answers to requests: Ack, Nak or nothing. */
  answer: 'ack' | 'nak' | 'nothing' = 'ack';
  options: [number, Uint8Array][] = [
    [dhcp4.Option.Router, dhcp4.bytes4(number4('10.0.0.1'))],
    [dhcp4.Option.DnsServers, dhcp4.bytes4(number4('10.0.0.1'))],
  ];
  /** Types of what came, by name. */
  readonly heard: string[] = [];
  /** Option 12 or 81 of the last message. */
  hostName = '';
  private readonly io: SocketDatagrams;
  private readonly handle: number;
  private readonly buffer = new Uint8Array(1500);

  constructor(lab: Lab) {
    this.io = new SocketDatagrams(lab.b.sockets);
    this.handle = this.io.open({ isIp6: false, port: dhcp4.SERVER_PORT, iface: ETH });
    lab.b.sockets.setOption(this.handle, SocketOption.Broadcast, 1);
    lab.servers.push(this);
  }

  poll(): void {
    for (;;) {
      const bytes = this.io.receiveFrom(this.handle, this.buffer);
      if (bytes < 0) return;
      this.take(viewOf(this.buffer), bytes);
    }
  }

  private take(view: DataView, bytes: number): void {
    const options = dhcp4.readOptions(view, 0, bytes)!;
    const type = dhcp4.numberOf(options.get(dhcp4.Option.MessageType), 1)!;
    this.heard.push(Object.entries(dhcp4.MessageType).find(([, value]) => value === type)![0]);
    this.hostName = new TextDecoder().decode(options.get(dhcp4.Option.HostName) ?? options.get(81));
    const { MessageType } = dhcp4;
    if (type === MessageType.Discover) this.reply(view, MessageType.Offer);
    if (type !== MessageType.Request || this.answer === 'nothing') return;
    this.reply(view, this.answer === 'ack' ? MessageType.Ack : MessageType.Nak);
  }

  private reply(view: DataView, type: number): void {
    const ciaddr = dhcp4.ciaddr(view, 0);
    const mac = new Uint8Array(
      view.buffer.slice(view.byteOffset + dhcp4.chaddrAt(0), view.byteOffset + dhcp4.chaddrAt(0) + 6),
    );
    const none = { secs: 0, flags: 0, siaddr: 0, giaddr: 0 };
    const fields = { ...none, op: dhcp4.Op.Reply, xid: dhcp4.xid(view, 0), ciaddr, yiaddr: number4(this.address), mac };
    const lease: [number, Uint8Array][] = [
      [dhcp4.Option.LeaseTime, dhcp4.bytes4(this.leaseS)],
      [dhcp4.Option.SubnetMask, dhcp4.bytes4(0xffffff00)],
      ...this.options,
    ];
    const message = dhcp4.buildMessage(fields, [
      [dhcp4.Option.MessageType, Uint8Array.of(type)],
      [dhcp4.Option.ServerId, dhcp4.bytes4(number4('10.0.0.1'))],
      ...(type === dhcp4.MessageType.Nak ? [] : lease),
    ]);
    this.io.sendTo(this.handle, message, of4(ciaddr === 0 ? 0xffffffff : ciaddr), dhcp4.CLIENT_PORT);
  }
}

/** A minimal DHCPv6 server, RFC 8415: one address, two lifetimes, a DNS server and a search list. */
export class Dhcp6Server implements Server {
  address = 'fd00::50';
  preferredS = 1800;
  validS = 3600;
  isSilent = false;
  readonly heard: string[] = [];
  private readonly io: SocketDatagrams;
  private readonly handle: number;
  private readonly buffer = new Uint8Array(1500);

  constructor(lab: Lab) {
    this.io = new SocketDatagrams(lab.b.sockets);
    const group = ip('ff02::1:2');
    this.handle = this.io.open({ isIp6: true, port: dhcp6.SERVER_PORT, iface: ETH, group });
    lab.servers.push(this);
  }

  poll(): void {
    for (;;) {
      const bytes = this.io.receiveFrom(this.handle, this.buffer);
      if (bytes < 0) return;
      this.take(viewOf(this.buffer), bytes);
    }
  }

  private take(view: DataView, bytes: number): void {
    const { MessageType, Option } = dhcp6;
    const type = dhcp6.messageType(view, 0);
    const options = dhcp6.readOptions(view, 4, bytes - 4)!;
    this.heard.push(Object.entries(MessageType).find(([, value]) => value === type)![0]);
    if (this.isSilent) return;
    const out = new dhcp6.Dhcp6Writer(
      type === MessageType.Solicit ? MessageType.Advertise : MessageType.Reply,
      dhcp6.xid(view, 0),
    );
    out.option(Option.ClientId, dhcp6.optionBytes(view, dhcp6.find(options, Option.ClientId)!));
    out.option(Option.ServerId, dhcp6.duidOf(Uint8Array.of(2, 0, 0, 0, 0, 2)));
    const ia = dhcp6.find(options, Option.IaNa);
    if (ia && type !== MessageType.Release && type !== MessageType.Decline) {
      out.begin(Option.IaNa).u32(view.getUint32(ia.at)).u32(0).u32(0);
      out
        .begin(Option.IaAddress)
        .bytes(bytesOf(ip(this.address)))
        .u32(this.preferredS)
        .u32(this.validS)
        .end()
        .end();
    }
    out.option(Option.DnsServers, bytesOf(ip('fd00::1')));
    out.option(Option.DomainList, [3, 115, 105, 120, 0]); // six
    this.io.sendTo(this.handle, out.finish(), this.io.source.address, dhcp6.CLIENT_PORT);
  }
}

/** A DNS server, UDP and TCP: addresses by name. Names that begin with `long` are cut over UDP. */
export class DnsServer implements Server {
  readonly names = new Map<string, string[]>();
  readonly asked: string[] = [];
  /** How often it was asked over TCP. */
  overTcp = 0;
  private readonly lab: Lab;
  private readonly io: SocketDatagrams;
  private readonly handles: number[];
  private readonly listener: number;
  private connection = -1;
  private readonly buffer = new Uint8Array(1500);

  constructor(lab: Lab) {
    this.lab = lab;
    this.io = new SocketDatagrams(lab.b.sockets, (target) => (isLinkLocal(target) ? ETH : 0));
    this.handles = [false, true].map((isIp6) => this.io.open({ isIp6, port: 53, iface: 0 }));
    const { sockets } = lab.b;
    this.listener = sockets.socket(Family.Inet6, SocketType.Stream);
    sockets.setOption(this.listener, SocketOption.V6Only, 0);
    sockets.bind(this.listener, ip('::'), 53);
    sockets.listen(this.listener, 4);
    lab.servers.push(this);
  }

  poll(): void {
    for (const handle of this.handles) {
      const bytes = this.io.receiveFrom(handle, this.buffer);
      if (bytes < 0) continue;
      const { address, port } = this.io.source;
      const reply = this.answer(this.buffer.slice(0, bytes), true);
      this.io.sendTo(handle, reply, address.slice(), port);
    }
    this.pollStream();
  }

  private pollStream(): void {
    const { sockets } = this.lab.b;
    if (this.connection < 0) this.connection = sockets.accept(this.listener);
    if (this.connection < 0) return;
    const bytes = sockets.receive(this.connection, this.buffer, 0, this.buffer.length);
    if (bytes === -Errno.EAGAIN) return;
    if (bytes > 0) {
      this.overTcp++;
      const reply = this.answer(this.buffer.slice(2, bytes), false);
      sockets.send(
        this.connection,
        Uint8Array.from([reply.length >> 8, reply.length & 255, ...reply]),
        0,
        reply.length + 2,
      );
      return;
    }
    sockets.close(this.connection);
    this.connection = -1;
  }

  private answer(bytes: Uint8Array, mayBeCut: boolean): Uint8Array {
    const message = dns.parseMessage(bytes)!;
    const { name, type } = message.questions[0]!;
    this.asked.push(`${name} ${type === dns.Type.A ? 'A' : 'AAAA'}`);
    const known = this.names.get(name);
    const isCut = mayBeCut && name.startsWith('long');
    const answers = (known ?? [])
      .map((text) => record(name, text.includes(':') ? dns.Type.AAAA : dns.Type.A, 60, bytesOf(ip(text))))
      .filter((one) => one.type === type && !isCut);
    const code = known ? dns.Rcode.NoError : dns.Rcode.NxDomain;
    const flags = dns.Flag.Response | (isCut ? dns.Flag.Truncated : 0) | code;
    const { questions } = message;
    return dns.buildMessage({ id: message.id, flags, questions, answers, authorities: [], additionals: [] });
  }
}
