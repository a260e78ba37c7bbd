// A sender model: `Recovery` on a virtual link with a receiver that acknowledges as RFC 2018 and RFC 2883 say.

import { Slab } from '../../../../core/slab.ts';
import { Shared } from '../../../../stack/shared.ts';
import { AckFlag, Action, Algorithm, Recovery, type StartOptions } from '../../../../stack/tcp/recovery.ts';

export const MSS = 1000;
export const MS = 1000;

export const newShared = (): Shared => new Shared(new Slab({ bytesMax: 65536 }), Int32Array.of(1, 2, 3, 4));

const DEFAULTS: StartOptions = {
  sack: true,
  timestamps: false,
  ecn: false,
  algorithm: Algorithm.NewReno,
  initialWindow: 0,
};

/** One connection, 0, whose ACKs the test writes by hand. Sequence numbers are in segments from `isn`. */
export class Sender {
  readonly shared = newShared();
  readonly recovery: Recovery;
  readonly c = 0;
  readonly isn: number;
  readonly mss: number;
  nxt: number;
  una: number;

  constructor(options: Partial<StartOptions> & { isn?: number; mss?: number; segmentsMax?: number } = {}) {
    this.isn = (options.isn ?? 0) | 0;
    this.mss = options.mss ?? MSS;
    this.nxt = this.isn;
    this.una = this.isn;
    this.recovery = new Recovery(this.shared, { segmentsMax: options.segmentsMax ?? 4096 });
    this.recovery.grow(1);
    this.recovery.start(0, this.isn, this.mss, { ...DEFAULTS, ...options });
  }

  at(us: number): this {
    this.shared.nowUs = us;
    return this;
  }

  after(us: number): this {
    this.shared.nowUs += us;
    return this;
  }

  /** Sends `n` segments, a descriptor each. */
  send(n: number): this {
    for (let i = 0; i < n; i++) {
      this.nxt = (this.nxt + this.mss) | 0;
      this.recovery.sent(0, this.nxt);
    }
    return this;
  }

  /** An ACK for segments before number `to`, with SACK blocks of segment numbers. */
  ack(to: number, blocks: readonly (readonly [number, number])[] = [], flags = 0, tsecrUs = 0): number {
    blocks.forEach(([from, end], i) => {
      this.recovery.sacks[2 * i] = (this.isn + from * this.mss) | 0;
      this.recovery.sacks[2 * i + 1] = (this.isn + end * this.mss) | 0;
    });
    this.recovery.sackCount = blocks.length;
    this.una = (this.isn + to * this.mss) | 0;
    return this.recovery.acked(0, this.una, flags, tsecrUs);
  }

  /** Retransmits what may be; returns `[from, end]` in segment numbers. */
  repair(): [number, number][] {
    const all: [number, number][] = [];
    for (let s = this.recovery.nextLost(0); s >= 0; s = this.recovery.nextLost(0)) {
      all.push([
        ((this.recovery.seqOf(s) - this.isn) | 0) / this.mss,
        ((this.recovery.endOf(s) - this.isn) | 0) / this.mss,
      ]);
      this.recovery.resent(0, s);
    }
    return all;
  }

  /** Sends what `allowance` lets; returns how many segments. */
  fill(): number {
    const n = Math.floor(this.recovery.allowance(0) / this.mss);
    this.send(n);
    return n;
  }

  /** Goes to the deadline and fires. */
  fire(): Action {
    this.shared.nowUs = this.recovery.deadlineUs(0);
    return this.recovery.fire(0);
  }
}

/** What the link does with the `n`th packet that is sent on it, retransmissions counted: µs of additional delay, or `DROP`. */
export type Fate = (n: number, seq: number, isCopy: boolean) => number;
export const DROP = -1;

interface Event {
  readonly atUs: number;
  readonly order: number;
  readonly seq: number; // of data in segments; or -1: an ACK
  readonly ack: readonly [number, number][]; // cumulative first
  readonly sentUs: number;
}

/** A whole transfer of `segments` segments over a link of one-way delay `delayUs` and a rate of one segment per `gapUs`. */
export class Transfer {
  readonly sender: Sender;
  readonly delayUs: number;
  readonly gapUs: number;
  readonly fate: Fate;
  readonly segments: number;
  sentPackets = 0;
  copies = 0;
  probes = 0;
  timeouts = 0;
  readonly log: string[] = [];
  private readonly events: Event[] = [];
  private readonly received = new Set<number>();
  private expected = 0;
  private order = 0;
  private linkFreeUs = 0;
  private readonly hasTimestamp: boolean;

  constructor(
    sender: Sender,
    link: { delayUs: number; gapUs: number; fate?: Fate; segments: number; timestamps?: boolean },
  ) {
    this.sender = sender;
    this.delayUs = link.delayUs;
    this.gapUs = link.gapUs;
    this.fate = link.fate ?? (() => 0);
    this.segments = link.segments;
    this.hasTimestamp = link.timestamps ?? false;
  }

  /** Runs until all is acknowledged, or `untilUs`. Returns the time. */
  run(untilUs = 1e12): number {
    const { sender } = this;
    this.pump();
    while (sender.una !== ((sender.isn + this.segments * sender.mss) | 0)) {
      const event = this.events[0];
      const deadline = sender.recovery.deadlineUs(0);
      const next = Math.min(event?.atUs ?? Infinity, deadline);
      if (next > untilUs) break;
      if (next === Infinity) throw new Error('the transfer stands still');
      sender.shared.nowUs = Math.max(sender.shared.nowUs, next);
      if (event && event.atUs <= next) {
        this.events.shift();
        if (event.seq >= 0) this.arrive(event);
        else this.answer(event);
      } else {
        this.timer();
      }
    }
    return sender.shared.nowUs;
  }

  /** Sends what may be sent. */
  pump(): void {
    const { sender } = this;
    const { recovery } = sender;
    for (let s = recovery.nextLost(0); s >= 0; s = recovery.nextLost(0)) this.copy(s);
    const left = this.segments - ((sender.nxt - sender.isn) | 0) / sender.mss;
    const n = Math.min(left, Math.floor(recovery.allowance(0) / sender.mss));
    for (let i = 0; i < n; i++) this.fresh();
  }

  private fresh(): void {
    const { sender } = this;
    const number = ((sender.nxt - sender.isn) | 0) / sender.mss;
    sender.send(1);
    this.transmit(number, false);
  }

  private copy(s: number): void {
    const { sender } = this;
    const from = ((sender.recovery.seqOf(s) - sender.isn) | 0) / sender.mss;
    const end = ((sender.recovery.endOf(s) - sender.isn) | 0) / sender.mss;
    sender.recovery.resent(0, s);
    for (let i = from; i < end; i++) {
      this.copies++;
      this.transmit(i, true);
    }
  }

  private timer(): void {
    const { sender } = this;
    const { recovery } = sender;
    const before = recovery.backoff(0);
    const action = recovery.fire(0);
    if (recovery.backoff(0) > before) this.timeouts++;
    if (action === Action.SendProbe) {
      this.probes++;
      if (((sender.nxt - sender.isn) | 0) / sender.mss < this.segments) this.fresh();
      else this.copy(recovery.probeSegment(0));
    }
    this.pump();
  }

  private transmit(number: number, isCopy: boolean): void {
    const now = this.sender.shared.nowUs;
    const more = this.fate(this.sentPackets++, number, isCopy);
    this.log.push(`${now} ${isCopy ? 'copy' : 'data'} ${number}${more === DROP ? ' lost' : ''}`);
    this.linkFreeUs = Math.max(now, this.linkFreeUs) + this.gapUs;
    if (more === DROP) return;
    this.schedule({
      atUs: this.linkFreeUs + this.delayUs + more,
      order: this.order++,
      seq: number,
      ack: [],
      sentUs: now,
    });
  }

  private schedule(event: Event): void {
    let i = this.events.length;
    while (i > 0 && this.events[i - 1]!.atUs > event.atUs) i--;
    this.events.splice(i, 0, event);
  }

  /** The receiver: an ACK for each packet, DSACK first, then the block that holds the packet, then the others. */
  private arrive(event: Event): void {
    const blocks: [number, number][] = [];
    const isOld = event.seq < this.expected || this.received.has(event.seq);
    if (isOld) blocks.push([event.seq, event.seq + 1]);
    else this.received.add(event.seq);
    while (this.received.delete(this.expected)) this.expected++;
    blocks.push(...this.islands(event.seq));
    this.schedule({
      atUs: this.sender.shared.nowUs + this.delayUs,
      order: this.order++,
      seq: -1,
      ack: [[this.expected, this.expected], ...blocks.slice(0, 4)],
      sentUs: event.sentUs,
    });
  }

  private islands(recent: number): [number, number][] {
    const all: [number, number][] = [];
    for (const n of [...this.received].sort((a, b) => a - b)) {
      const last = all[all.length - 1];
      if (last && last[1] === n) last[1]++;
      else all.push([n, n + 1]);
    }
    const first = all.filter(([from, end]) => from <= recent && recent < end);
    return [...first, ...all.filter(([from, end]) => recent < from || recent >= end).reverse()];
  }

  private answer(event: Event): void {
    const { sender } = this;
    const to = event.ack[0]![0];
    const una = ((sender.una - sender.isn) | 0) / sender.mss;
    const left = this.segments - ((sender.nxt - sender.isn) | 0) / sender.mss;
    sender.recovery.unsentBytes = left * sender.mss;
    const flags = this.hasTimestamp ? AckFlag.HasTimestamp : 0;
    sender.ack(Math.max(to, una), event.ack.slice(1), flags, event.sentUs - (event.sentUs % 1000));
    this.pump();
  }
}
