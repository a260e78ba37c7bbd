// A guest and a gateway with a DNS server, in virtual time; servers of the host's are a function or answer by hand.

import type { DnsOptions } from '../../service/dns-parts.ts';
import { DnsServer } from '../../service/dns-server.ts';
import type { DnsUpstream, DnsUpstreamUser } from '../../service/dns-upstream.ts';
import { Pair } from '../../sim/sim.ts';
import {
  type Address,
  Errno,
  Family,
  isIp4,
  parseAddress,
  SocketType,
  type Stack,
  type StackUser,
} from '../../stack/stack.ts';
import * as dns from '../../wire/dns.ts';
import { nameData, record } from '../../wire/dns-data.ts';
import { type Host, newHost } from '../kit/stack-kit.ts';

export const ip = (text: string): Address => parseAddress(text)!;
export const S = 1_000_000;
export const SERVER4 = ip('10.0.0.2');
export const SERVER6 = ip('fd00::2');
const { Type, Class, Flag } = dns;

/** A query as most programs send it; `edns` is the size that it offers. */
export interface QueryOptions {
  readonly id?: number;
  readonly flags?: number;
  readonly class?: number;
  readonly edns?: number;
  readonly ednsFlags?: number; // 0x8000: DO
  readonly version?: number;
  readonly options?: readonly number[];
}

export function queryOf(name: string, type: number, options: QueryOptions = {}): Uint8Array {
  const { id = 0x1234, flags = Flag.RecursionDesired, edns, ednsFlags = 0, version = 0 } = options;
  const opt = { name: '', type: Type.OPT, class: edns ?? 0, ttl: version * 65536 + ednsFlags };
  return dns.buildMessage({
    id,
    flags,
    questions: [{ name, type, class: options.class ?? Class.In }],
    answers: [],
    authorities: [],
    additionals: edns === undefined ? [] : [{ ...opt, data: Uint8Array.from(options.options ?? []) }],
  });
}

export const a = (name: string, text: string, ttl = 60): dns.ResourceRecord =>
  record(name, Type.A, ttl, Uint8Array.from(text.split('.').map(Number)));

export function aaaa(name: string, text: string, ttl = 60): dns.ResourceRecord {
  const data = new Uint8Array(16);
  const words = ip(text);
  for (let i = 0; i < 4; i++) new DataView(data.buffer).setInt32(4 * i, words[i]!);
  return record(name, Type.AAAA, ttl, data);
}

export const cname = (name: string, target: string, ttl = 60): dns.ResourceRecord =>
  record(name, Type.CNAME, ttl, nameData(target));

export function soa(zone: string, minimum: number, ttl = minimum): dns.ResourceRecord {
  const names = [...nameData(zone), ...nameData(`admin.${zone}`)];
  const data = new Uint8Array(names.length + 20);
  data.set(names);
  new DataView(data.buffer).setUint32(names.length + 16, minimum);
  return record(zone, Type.SOA, ttl, data);
}

export const txt = (name: string, bytes: number): dns.ResourceRecord => {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 256) data[at] = Math.min(255, bytes - at - 1);
  return record(name, Type.TXT, 60, data);
};

/** The answer to a query, with its OPT record as a server of size 4096 gives it. */
export function answerTo(query: dns.Message, parts: Partial<dns.Message> & { code?: number } = {}): Uint8Array {
  const { code = 0, flags = 0, ...rest } = parts;
  const opt = query.additionals.filter((one) => one.type === Type.OPT).map((one) => ({ ...one, class: 4096 }));
  return dns.buildMessage({
    id: query.id,
    flags: Flag.Response | 0x80 | (query.flags & Flag.RecursionDesired) | flags | code,
    questions: query.questions,
    answers: [],
    authorities: [],
    ...rest,
    additionals: [...(rest.additionals ?? []), ...opt],
  });
}

/** What one server was asked. */
export interface Asked {
  readonly server: number;
  readonly bytes: Uint8Array;
  readonly message: dns.Message;
  readonly isTcp: boolean;
}

/** Servers in memory: what they are asked is kept, and answered by `respond` if that is set, at the gateway's next turn. */
export class FakeUpstream implements DnsUpstream, StackUser {
  count = 1;
  generation = 0;
  readonly asked: Asked[] = [];
  respond: ((asked: Asked) => Uint8Array | undefined) | undefined;
  /** Servers that take nothing. */
  readonly deaf = new Set<number>();
  user: DnsUpstreamUser | undefined;
  flushes = 0;
  /** A place in the middle, so that offsets count. */
  private readonly area = new Uint8Array(70_000);
  private readonly queue: { server: number; bytes: Uint8Array; isTcp: boolean }[] = [];

  servers(): number {
    return this.count;
  }

  send(server: number, bytes: Uint8Array, at: number, count: number, isTcp: boolean): boolean {
    if (server >= this.count || this.deaf.has(server)) return false;
    const copy = bytes.slice(at, at + count);
    const one = { server, bytes: copy, message: dns.parseMessage(copy)!, isTcp };
    this.asked.push(one);
    const reply = this.respond?.(one);
    if (reply) this.queue.push({ server, bytes: reply, isTcp });
    return true;
  }

  flush(): void {
    this.flushes++;
  }

  setUser(user: DnsUpstreamUser): void {
    this.user = user;
  }

  /** A message from a server, at once. */
  give(server: number, bytes: Uint8Array, isTcp = false): void {
    this.area.set(bytes, 100);
    this.user!.answered(server, this.area, 100, bytes.length, isTcp);
  }

  turn(): void {
    for (let one = this.queue.shift(); one; one = this.queue.shift()) this.give(one.server, one.bytes, one.isTcp);
  }

  deadlineUs(): number {
    return Infinity;
  }

  expire(): void {}
}

export class Lab {
  readonly pair: Pair;
  readonly guest: Stack;
  readonly gateway: Stack;
  readonly upstream = new FakeUpstream();
  readonly server: DnsServer;
  readonly said: string[] = [];
  private readonly udp4: number;
  private readonly udp6: number;
  private readonly into = new Uint8Array(65_536);

  constructor(options: Partial<DnsOptions> = {}) {
    const hosts: Host[] = [];
    this.pair = new Pair(
      (slab) => {
        const host = newHost(slab, hosts.length + 1);
        hosts.push(host);
        return host.port;
      },
      { delayUs: 100 },
    );
    this.guest = hosts[0]!.stack;
    this.gateway = hosts[1]!.stack;
    this.server = new DnsServer(this.gateway, this.upstream, {
      addresses: [SERVER4, SERVER6],
      gateway: [SERVER4, SERVER6],
      networks: [
        { address: ip('10.0.0.0'), bits: 24 },
        { address: ip('fd00::'), bits: 64 },
      ],
      say: (line) => this.said.push(line),
      ...options,
    });
    this.gateway.addUser(this.upstream);
    const { sockets } = this.guest;
    this.udp4 = sockets.socket(Family.Inet, SocketType.Datagram);
    this.udp6 = sockets.socket(Family.Inet6, SocketType.Datagram);
  }

  /** Both hosts get turns for so long. */
  run(us = 50_000): void {
    this.pair.world.touch(this.pair.a);
    this.pair.world.touch(this.pair.b);
    this.pair.runUntil(() => false, us);
    this.guest.tick(this.pair.nowUs);
    this.gateway.tick(this.pair.nowUs);
  }

  /** Guest and gateway learn each other's MAC address, so that a burst is not cut by what may wait for that. */
  meet(): this {
    this.ask('localhost', Type.A);
    return this;
  }

  /** Another socket of the guest's. */
  socket(isIp6 = false): number {
    return this.guest.sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
  }

  send(bytes: Uint8Array, to: Address = SERVER4, h = isIp4(to) ? this.udp4 : this.udp6): void {
    const sent = this.guest.sockets.sendTo(h, bytes, 0, bytes.length, to, 53);
    if (sent < 0) throw new Error(`send: ${sent}`);
    this.pair.world.touch(this.pair.a);
  }

  /** What came, oldest first. */
  received(h = this.udp4): Uint8Array[] {
    const list: Uint8Array[] = [];
    for (;;) {
      const count = this.guest.sockets.receiveFrom(h, this.into, 0, this.into.length);
      if (count === -Errno.EAGAIN) return list;
      if (count < 0) throw new Error(`receive: ${count}`);
      list.push(this.into.slice(0, count));
    }
  }

  /** Sends over UDP; the one answer, as bytes. */
  askBytes(bytes: Uint8Array, to: Address = SERVER4): Uint8Array {
    this.send(bytes, to);
    this.run();
    const got = this.received(isIp4(to) ? this.udp4 : this.udp6);
    if (got.length !== 1) throw new Error(`${got.length} answers`);
    return got[0]!;
  }

  /** Asks over UDP; the answer, read. */
  ask(name: string, type: number, options: QueryOptions & { to?: Address } = {}): dns.Message {
    const message = dns.parseMessage(this.askBytes(queryOf(name, type, options), options.to));
    if (!message) throw new Error('an answer that cannot be read');
    return message;
  }

  connect(to: Address = SERVER4): TcpClient {
    return new TcpClient(this, to);
  }
}

/** DNS over a guest's connection. */
export class TcpClient {
  readonly h: number;
  private readonly lab: Lab;
  private rest = new Uint8Array(0);

  constructor(lab: Lab, to: Address) {
    this.lab = lab;
    const { sockets } = lab.guest;
    this.h = sockets.socket(isIp4(to) ? Family.Inet : Family.Inet6, SocketType.Stream);
    sockets.connect(this.h, to, 53);
    lab.run();
  }

  /** Sends messages, each with its length; in one piece. */
  send(...messages: readonly Uint8Array[]): void {
    this.raw(Uint8Array.from(messages.flatMap((one) => [one.length >> 8, one.length & 255, ...one])));
  }

  raw(bytes: Uint8Array): number {
    return this.lab.guest.sockets.send(this.h, bytes, 0, bytes.length);
  }

  /** What came since: whole messages. */
  received(): dns.Message[] {
    const into = new Uint8Array(65_536);
    for (;;) {
      const count = this.lab.guest.sockets.receive(this.h, into, 0, into.length);
      if (count <= 0) break;
      const next = new Uint8Array(this.rest.length + count);
      next.set(this.rest);
      next.set(into.subarray(0, count), this.rest.length);
      this.rest = next;
    }
    const list: dns.Message[] = [];
    while (this.rest.length >= 2) {
      const bytes = this.rest[0]! * 256 + this.rest[1]!;
      if (this.rest.length < 2 + bytes) break;
      list.push(dns.parseMessage(this.rest.slice(2, 2 + bytes))!);
      this.rest = this.rest.slice(2 + bytes);
    }
    return list;
  }

  /** The next byte: 0 at the end, -errno. */
  get state(): number {
    return this.lab.guest.sockets.receive(this.h, new Uint8Array(1), 0, 1);
  }
}

/** The addresses and other data of answers, as text. */
export const dataOf = (message: dns.Message): string[] =>
  message.answers.map((one) =>
    one.type === Type.A || one.type === Type.AAAA
      ? addressText(one.data)
      : `${Object.entries(Type).find(([, value]) => value === one.type)?.[0] ?? one.type}`,
  );

export function addressText(data: Uint8Array): string {
  if (data.length === 4) return Array.from(data).join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((data[2 * i]! << 8) | data[2 * i + 1]!).toString(16));
  return words.join(':');
}
