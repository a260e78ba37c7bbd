// Two TCPs on a link in virtual time, or one against hand-made segments. The network layer is a fake over one slab.

import { expect } from 'vitest';
import { Drop } from '../../core/drop.ts';
import { NONE, Slab } from '../../core/slab.ts';
import { StateReader, StateWriter } from '../../core/state.ts';
import { type Address, assign, isIp4, of4, write4, write6 } from '../../stack/address.ts';
import type { Paths, Sender } from '../../stack/ip.ts';
import { LIMITS, type Limits } from '../../stack/limits.ts';
import { Shared } from '../../stack/shared.ts';
import { Ready, Tcp } from '../../stack/tcp/tcp.ts';
import { checksumOf, finish, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as wire from '../../wire/tcp.ts';

export const A = of4(0x0a000001);
export const B = of4(0x0a000002);
export const START_US = 1_000_000_000;
export const { Flag } = wire;

/** A segment as a test sees or makes it. Sequence numbers as they stand, unsigned. */
export interface Seg {
  flags: string;
  seq: number;
  ack: number;
  window: number;
  data: Uint8Array;
  options: number[];
  tclass: number;
  source: Address;
  target: Address;
  sourcePort: number;
  targetPort: number;
  atUs: number;
  segmentBytes: number;
}

const LETTERS: [string, number][] = [
  ['S', Flag.Syn],
  ['F', Flag.Fin],
  ['R', Flag.Rst],
  ['P', Flag.Psh],
  ['A', Flag.Ack],
  ['U', Flag.Urg],
  ['E', Flag.Ece],
  ['C', Flag.Cwr],
];
export const flagsOf = (letters: string): number =>
  LETTERS.reduce((bits, [l, bit]) => (letters.includes(l) ? bits | bit : bits), 0);
const lettersOf = (flags: number): string =>
  LETTERS.filter(([, bit]) => (flags & bit) !== 0)
    .map(([l]) => l)
    .join('');

/** The network layer of one host: everything goes to `out`. */
export class Host implements Paths, Sender {
  readonly shared: Shared;
  readonly tcp: Tcp;
  readonly address: Address;
  out: Seg[] = [];
  mtu = 1500;
  linkMtu = 1500;
  superBytes = 0;
  needsSum = true;
  room = 1 << 30; // segments that fit the output
  hasRoute = true;
  lowered: number[] = [];
  raised: number[] = [];
  confirms = 0;
  doubts = 0;
  private readonly source: Address = new Int32Array(4);
  private readonly target: Address = new Int32Array(4);
  private readonly at: number;
  private opened = 0;
  private sum = -1;
  private readonly inAt: number;

  constructor(slab: Slab, address: Address, seed: number, limits: Partial<Limits> = {}) {
    this.shared = new Shared(slab, Int32Array.of(seed, 2, 3, 4));
    this.shared.nowUs = START_US;
    this.address = address;
    this.at = slab.alloc(1 << 17);
    this.inAt = slab.alloc(1 << 17);
    this.tcp = new Tcp(
      this.shared,
      this,
      this,
      { ...LIMITS, ...limits },
      {
        lowerMtu: (_s, _t, _i, mtu) => {
          this.lowered.push(mtu);
          this.mtu = mtu;
        },
        linkMtuOf: () => this.linkMtu,
        raiseMtu: (_s, _t, _i, mtu) => {
          this.raised.push(mtu);
          this.mtu = mtu;
        },
        probeLimitOf: () => this.linkMtu,
      },
    );
  }

  find(source: Address, target: Address, _iface: number): number {
    if (!this.hasRoute) return -101;
    assign(this.source, source);
    assign(this.target, target);
    return 1;
  }
  sourceOf(): Address {
    return this.address;
  }
  ifaceOf(): number {
    return 2;
  }
  mtuOf(): number {
    return this.mtu;
  }
  superOf(): number {
    return Math.max(this.superBytes, this.mtu);
  }
  confirm(): void {
    this.confirms++;
  }
  doubt(): void {
    this.doubts++;
  }

  open(_path: number, _protocol: number, bytes: number): number {
    const header = isIp4(this.target) ? 20 : 40;
    if (this.out.length >= this.room || bytes + header > Math.max(this.superOf(), this.linkMtu)) return NONE;
    this.opened = bytes;
    this.sum = -1;
    return this.at;
  }
  seal(offset: number, sum: number): void {
    expect(offset).toBe(wire.CHECKSUM_AT);
    this.sum = sum;
  }
  send(_hopLimit: number, tclass: number, segmentBytes: number): Drop {
    const { view, bytes } = this.shared;
    if (this.needsSum) expect(this.sum).toBe(checksumOf(view, this.at, this.opened));
    const header = wire.headerBytes(view, this.at);
    this.out.push({
      flags: lettersOf(wire.flags(view, this.at)),
      seq: wire.seq(view, this.at),
      ack: wire.ack(view, this.at),
      window: wire.window(view, this.at),
      options: [...bytes.subarray(this.at + 20, this.at + header)],
      data: bytes.slice(this.at + header, this.at + this.opened),
      tclass,
      source: Int32Array.from(this.source),
      target: Int32Array.from(this.target),
      sourcePort: wire.srcPort(view, this.at),
      targetPort: wire.dstPort(view, this.at),
      atUs: this.shared.nowUs,
      segmentBytes,
    });
    return Drop.None;
  }
  sendDatagram(): Drop {
    return Drop.TxFull;
  }

  /** Writes the segment into the slab and gives it to TCP. `damage` flips a bit after the checksum. */
  give(seg: Seg, { damage = false, isGroupFrame = false } = {}): Drop {
    const { view, bytes, packet } = this.shared;
    const is6 = !isIp4(seg.source);
    const ip = this.inAt;
    const at = ip + (is6 ? 40 : 20);
    const header = 20 + seg.options.length;
    const length = header + seg.data.length;
    bytes.fill(0, ip, at);
    if (is6) {
      write6(view, ip + 8, seg.source);
      write6(view, ip + 24, seg.target);
    } else {
      write4(view, ip + 12, seg.source);
      write4(view, ip + 16, seg.target);
    }
    wire.setSrcPort(view, at, seg.sourcePort);
    wire.setDstPort(view, at, seg.targetPort);
    wire.setSeq(view, at, seg.seq);
    wire.setAck(view, at, seg.ack);
    wire.setHeaderBytes(view, at, header);
    wire.setFlags(view, at, flagsOf(seg.flags));
    wire.setWindow(view, at, seg.window);
    wire.setChecksum(view, at, 0);
    wire.setUrgent(view, at, 0);
    bytes.set(seg.options, at + 20);
    bytes.set(seg.data, at + header);
    const pseudo = is6 ? pseudoHeader6 : pseudoHeader4;
    const sum = checksumOf(view, at, length, pseudo(view, ip, ipv4.Protocol.Tcp, length));
    wire.setChecksum(view, at, finish(sum));
    if (damage) bytes[at + 5] = bytes[at + 5]! ^ 1;
    packet.iface = 2;
    packet.frameAt = 0;
    packet.isGroupFrame = isGroupFrame;
    packet.isIp6 = is6;
    packet.ip = ip;
    packet.ipBytes = at - ip + length;
    assign(packet.source, seg.source);
    assign(packet.target, seg.target);
    packet.protocol = ipv4.Protocol.Tcp;
    packet.at = at;
    packet.bytes = length;
    packet.trafficClass = seg.tclass;
    packet.segmentBytes = seg.segmentBytes;
    packet.isChecksumKnown = false;
    return this.tcp.receive(packet);
  }

  /** What came out since the last call; TCP polls before. */
  sent(): Seg[] {
    this.tcp.poll();
    const { out } = this;
    this.out = [];
    return out;
  }

  /** Advances the clock by `us`, timer by timer. */
  pass(us: number): void {
    const endUs = this.shared.nowUs + us;
    for (let due = this.tcp.deadlineUs(); due <= endUs; due = this.tcp.deadlineUs()) {
      this.shared.nowUs = Math.max(this.shared.nowUs, due);
      this.tcp.expire();
      this.tcp.poll();
    }
    this.shared.nowUs = endUs;
  }

  snapshot(): Uint8Array {
    const state = new StateWriter();
    this.tcp.save(state);
    return state.finish();
  }
  restore(bytes: Uint8Array, nowUs: number): void {
    this.tcp.load(new StateReader(bytes));
    this.shared.nowUs = nowUs;
  }
}

export const newSlab = (): Slab => new Slab({ bytesMax: 64 << 20 });

/** A host at A with a hand-made peer at B. Sequence numbers in tests are relative: ours to ISS, the peer's to 1000. */
export class Bench {
  readonly host: Host;
  c = -1;
  l = -1;
  iss = 0;
  peerIss = 1000;
  readonly peerPort = 5000;
  port = 80;

  constructor(limits: Partial<Limits> = {}) {
    this.host = new Host(newSlab(), A, 1, limits);
  }

  get tcp(): Tcp {
    return this.host.tcp;
  }

  /** Gives a segment: `seq` relative to the peer's ISS, `ack` relative to ours. */
  give(
    flags: string,
    seq: number,
    ack = 0,
    {
      data = new Uint8Array(0),
      window = 65535,
      options = [],
      tclass = 0,
      segmentBytes = 0,
    }: Partial<Pick<Seg, 'data' | 'window' | 'options' | 'tclass' | 'segmentBytes'>> = {},
    extra: { damage?: boolean; isGroupFrame?: boolean } = {},
  ): Drop {
    return this.host.give(
      {
        flags,
        seq: (this.peerIss + seq) >>> 0,
        ack: flags.includes('A') ? (this.iss + ack) >>> 0 : 0,
        window,
        data,
        options,
        tclass,
        segmentBytes,
        source: B,
        target: A,
        sourcePort: this.peerPort,
        targetPort: this.port,
        atUs: 0,
      },
      extra,
    );
  }

  /** What came out, as text: `A 1:1(0) ack 11`, both numbers relative. */
  sent(): string[] {
    return this.host.sent().map((s) => this.text(s));
  }

  text(s: Seg): string {
    const seq = (s.seq - this.iss) | 0;
    const ack = s.flags.includes('A') ? ` ack ${(s.ack - this.peerIss) | 0}` : '';
    return `${s.flags} ${seq}:${seq + s.data.length}(${s.data.length})${ack}`;
  }

  /** A listener. */
  listen(backlog = 5): this {
    this.l = this.tcp.open(false);
    expect(this.tcp.bind(this.l, A, 80, 0)).toBe(0);
    expect(this.tcp.listen(this.l, backlog)).toBe(0);
    return this;
  }

  /** Up to SYN-RECEIVED by a SYN with these options. */
  synReceived(options: number[] = MSS_1460): this {
    if (this.l < 0) this.listen();
    this.give('S', 0, 0, { options });
    const [synAck] = this.host.sent();
    expect(synAck?.flags).toBe('SA');
    this.iss = synAck!.seq;
    return this;
  }

  /** Up to ESTABLISHED, passively. */
  established(options: number[] = MSS_1460, window = 65535): this {
    this.synReceived(options);
    this.give('A', 1, 1, { window, options: options.length > 4 ? stamps(101, 0) : [] });
    this.c = this.tcp.accept(this.l);
    expect(this.c).toBeGreaterThanOrEqual(0);
    expect(this.sent()).toEqual([]);
    return this;
  }

  /** Up to SYN-SENT. */
  synSent(): this {
    this.c = this.tcp.open(false);
    expect(this.tcp.connect(this.c, B, this.peerPort, 0)).toBe(-115);
    const [syn] = this.host.sent();
    expect(syn?.flags).toBe('S');
    this.iss = syn!.seq;
    this.port = syn!.sourcePort;
    return this;
  }

  /** Up to ESTABLISHED, actively, no options but the MSS. */
  connected(): this {
    this.synSent();
    this.give('SA', 0, 1, { options: MSS_1460 });
    expect(this.sent()).toEqual(['A 1:1(0) ack 1']);
    return this;
  }

  write(count: number, fill = 65): number {
    return this.tcp.send(this.c, new Uint8Array(count).fill(fill), 0, count, 0);
  }

  read(count: number): number {
    return this.tcp.receive(this.c, new Uint8Array(count), 0, count, 0);
  }

  get state(): string {
    return this.tcp.info(this.c).state;
  }
}

export const MSS_1460 = [2, 4, 5, 0xb4];
export const stamps = (value: number, echo: number): number[] => [
  1,
  1,
  8,
  10,
  ...[value >>> 24, value >>> 16, value >>> 8, value].map((b) => b & 255),
  ...[echo >>> 24, echo >>> 16, echo >>> 8, echo].map((b) => b & 255),
];
export const bytes = (n: number, fill = 66): Uint8Array => new Uint8Array(n).fill(fill);

interface Flying {
  atUs: number;
  order: number;
  to: 0 | 1;
  seg: Seg;
}

/** Two hosts; what one sends comes to the other after `delayUs`, unless `loses` says no. */
export class Pair {
  readonly hosts: [Host, Host];
  nowUs = START_US;
  delayUs = 10_000;
  /** True: the segment is lost. Called once for each. */
  loses: (seg: Seg, from: number, count: number) => boolean = () => false;
  readonly trace: string[] = [];
  flying: Flying[] = [];
  order = 0;
  count = 0;

  constructor(limits: Partial<Limits> = {}, slab = newSlab()) {
    this.hosts = [new Host(slab, A, 1, limits), new Host(slab, B, 99, limits)];
  }

  /** Puts what the hosts sent on the link. */
  exhale(): void {
    for (const from of [0, 1] as const) {
      for (const seg of this.hosts[from].sent()) {
        this.count++;
        const lost = this.loses(seg, from, this.count);
        let sum = 0;
        for (const b of seg.data) sum = (sum * 31 + b) >>> 0;
        this.trace.push(
          `${this.nowUs} ${from} ${seg.flags} ${seg.seq}+${seg.data.length} ${seg.ack} ${seg.window} ${seg.options} ${sum}${lost ? ' lost' : ''}`,
        );
        if (!lost) {
          this.flying.push({ atUs: this.nowUs + this.delayUs, order: this.order++, to: from === 0 ? 1 : 0, seg });
        }
      }
    }
  }

  /** Goes to the next event and does it; false if there is none before `endUs`. */
  step(endUs = Infinity): boolean {
    this.exhale();
    let next = Infinity;
    for (const f of this.flying) next = Math.min(next, f.atUs);
    for (const h of this.hosts) next = Math.min(next, Math.max(this.nowUs, h.tcp.deadlineUs()));
    if (next === Infinity || next > endUs) return false;
    this.nowUs = next;
    for (const h of this.hosts) h.shared.nowUs = next;
    const due = this.flying.filter((f) => f.atUs <= next).sort((a, b) => a.atUs - b.atUs || a.order - b.order);
    this.flying = this.flying.filter((f) => f.atUs > next);
    for (const f of due) this.hosts[f.to].give(f.seg);
    for (const h of this.hosts) h.tcp.expire();
    this.exhale();
    return true;
  }

  /** Connects host 0 to a listener on host 1: the two connections. */
  connect(): [number, number] {
    const [a, b] = this.hosts;
    const l = b.tcp.open(false);
    expect(b.tcp.bind(l, B, 80, 0)).toBe(0);
    expect(b.tcp.listen(l, 8)).toBe(0);
    const c = a.tcp.open(false);
    a.tcp.connect(c, B, 80, 0);
    while ((b.tcp.readiness(l) & Ready.In) === 0 && this.step());
    return [c, b.tcp.accept(l)];
  }
}

/** How far a transfer is; kept outside so that it can go on elsewhere. */
export interface Progress {
  sent: number;
  got: number;
  events: number;
}

const patternAt = (i: number): number => (i * 7 + (i >> 8)) & 255;
const chunk = new Uint8Array(8192);

function writeSome(host: Host, c: number, total: number, progress: Progress): void {
  while (progress.sent < total) {
    const n = Math.min(chunk.length, total - progress.sent);
    for (let i = 0; i < n; i++) chunk[i] = patternAt(progress.sent + i);
    const done = host.tcp.send(c, chunk, 0, n, 0);
    if (done <= 0) return;
    progress.sent += done;
  }
}

function readSome(host: Host, d: number, progress: Progress): void {
  for (;;) {
    const n = host.tcp.receive(d, chunk, 0, chunk.length, 0);
    if (n <= 0) return;
    for (let i = 0; i < n; i++) {
      if (chunk[i] !== patternAt(progress.got + i)) throw new Error(`byte ${progress.got + i} is wrong`);
    }
    progress.got += n;
  }
}

/** Moves `total` bytes of a pattern from host 0 to host 1, reading as they come; `each` is called after each event. */
export function transfer(
  pair: Pair,
  [c, d]: [number, number],
  total: number,
  each: (events: number) => void = () => {},
  progress: Progress = { sent: 0, got: 0, events: 0 },
): void {
  const endUs = pair.nowUs + 600_000_000;
  while (progress.got < total) {
    writeSome(pair.hosts[0], c, total, progress);
    if (!pair.step(endUs)) break;
    readSome(pair.hosts[1], d, progress);
    each(++progress.events);
  }
  expect(progress.got).toBe(total);
}
